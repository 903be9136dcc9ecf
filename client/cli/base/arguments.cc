#include "client/cli/base/arguments.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace heed::cli {
namespace {

constexpr char kUsagePayload[] = "heed/usage";

const OptionSpec* Find(const std::vector<OptionSpec>& specs, absl::string_view name) {
  const auto it = std::find_if(specs.begin(), specs.end(),
                               [&](const OptionSpec& spec) { return spec.name == name; });
  return it == specs.end() ? nullptr : &*it;
}

absl::Status UnknownOption(absl::string_view word, absl::string_view name,
                           const std::vector<OptionSpec>& specs, absl::string_view where) {
  std::vector<std::string> known;
  for (const OptionSpec& spec : specs) known.push_back(spec.name);
  std::string hint;
  if (const auto nearest = Nearest(name, known)) {
    hint = absl::StrCat("Did you mean --", *nearest, "?");
  } else {
    hint = absl::StrCat(where, " --help lists the options. Put -- before text that begins with -.");
  }
  return UsageError(absl::StrCat("unknown option ", word, ".\n", hint));
}

// The number of single-letter edits between two words.
int EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<int> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 1; i <= a.size(); ++i) {
    int diagonal = row[0];
    row[0] = static_cast<int>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const int substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row.back();
}

}  // namespace

std::vector<OptionSpec> JoinOptions(std::vector<std::vector<OptionSpec>> tables) {
  std::vector<OptionSpec> all;
  for (std::vector<OptionSpec>& table : tables) all.insert(all.end(), table.begin(), table.end());
  return all;
}

absl::Status UsageError(absl::string_view message) {
  absl::Status status = absl::InvalidArgumentError(message);
  status.SetPayload(kUsagePayload, absl::Cord());
  return status;
}

bool IsUsageError(const absl::Status& status) {
  return status.GetPayload(kUsagePayload).has_value();
}

std::optional<std::string> Nearest(absl::string_view name, const std::vector<std::string>& known) {
  std::optional<std::string> nearest;
  int best = std::max<int>(name.size() > 2 ? 2 : 1, static_cast<int>(name.size()) / 3) + 1;
  for (const std::string& candidate : known) {
    const bool begins = name.size() >= 3 && absl::StartsWith(candidate, name);
    const int distance = begins ? 1 : EditDistance(name, candidate);
    if (distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

absl::StatusOr<Arguments> Arguments::Parse(const std::vector<std::string>& words,
                                           const std::vector<OptionSpec>& specs,
                                           const std::string& where) {
  Arguments result;
  bool options_end = false;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (options_end || word == "-" || !absl::StartsWith(word, "-")) {
      result.positionals_.push_back(word);
      continue;
    }
    if (word == "--") {
      options_end = true;
      continue;
    }
    const size_t equals = word.find('=');
    std::string name = word.substr(0, equals);
    name = name == "-h" ? "help" : name.substr(absl::StartsWith(name, "--") ? 2 : 1);
    const OptionSpec* spec =
        absl::StartsWith(word, "--") || name == "help" ? Find(specs, name) : nullptr;
    if (spec == nullptr) return UnknownOption(word.substr(0, equals), name, specs, where);
    std::vector<std::string>& values = result.values_[name];
    if (!values.empty() && !spec->repeatable) {
      return UsageError(absl::StrCat("--", name, " is given twice."));
    }
    if (spec->value.empty()) {
      if (equals != std::string::npos) {
        return UsageError(absl::StrCat("--", name, " takes no value."));
      }
      values.push_back("");
    } else if (equals != std::string::npos) {
      values.push_back(word.substr(equals + 1));
    } else if (i + 1 == words.size() || absl::StartsWith(words[i + 1], "--")) {
      return UsageError(absl::StrCat("--", name, " needs a value: --", name, "=", spec->value));
    } else {
      values.push_back(words[++i]);
    }
    result.given_.emplace_back(name, values.back());
  }
  return result;
}

std::string Arguments::String(const std::string& name, const std::string& fallback) const {
  const auto it = values_.find(name);
  return it == values_.end() ? fallback : it->second.back();
}

std::vector<std::string> Arguments::Strings(const std::string& name) const {
  const auto it = values_.find(name);
  return it == values_.end() ? std::vector<std::string>() : it->second;
}

absl::StatusOr<std::optional<int64_t>> Arguments::Int(const std::string& name, int64_t min,
                                                      int64_t max) const {
  if (!Has(name)) return std::nullopt;
  int64_t value = 0;
  if (!absl::SimpleAtoi(String(name), &value)) {
    return UsageError(
        absl::StrCat("--", name, " is \"", String(name), "\"; expected a whole number."));
  }
  if (value < min) {
    return UsageError(absl::StrCat("--", name, " is ", value, "; expected ", min, " or more."));
  }
  if (value > max) {
    return UsageError(absl::StrCat("--", name, " is ", value, "; expected ", max, " or less."));
  }
  return value;
}

absl::StatusOr<std::optional<float>> Arguments::Float(const std::string& name) const {
  if (!Has(name)) return std::nullopt;
  float value = 0;
  if (!absl::SimpleAtof(String(name), &value) || std::isnan(value)) {
    return UsageError(absl::StrCat("--", name, " is \"", String(name), "\"; expected a number."));
  }
  return value;
}

absl::StatusOr<std::optional<absl::Duration>> Arguments::Duration(const std::string& name) const {
  if (!Has(name)) return std::nullopt;
  const std::string text = String(name);
  double seconds = 0;
  absl::Duration duration;
  if (absl::SimpleAtod(text, &seconds) && std::isfinite(seconds)) {
    duration = absl::Seconds(seconds);
  } else if (!absl::ParseDuration(text, &duration)) {
    return UsageError(absl::StrCat("--", name, " is \"", text,
                                   "\"; expected a time such as 2s, 250ms or 1m30s."));
  }
  if (duration <= absl::ZeroDuration()) {
    return UsageError(absl::StrCat("--", name, " is ", text, "; expected a time above zero."));
  }
  return duration;
}

absl::StatusOr<std::vector<int32_t>> Arguments::Ints(const std::string& name) const {
  std::vector<int32_t> result;
  for (const std::string& value : Strings(name)) {
    const auto ints = ParseInts(value, absl::StrCat("--", name));
    if (!ints.ok()) return ints.status();
    result.insert(result.end(), ints->begin(), ints->end());
  }
  return result;
}

absl::StatusOr<std::vector<int32_t>> ParseInts(absl::string_view text, absl::string_view what) {
  constexpr char kExpected[] = "; expected numbers such as 1,2,3.";
  std::vector<int32_t> result;
  for (absl::string_view list : absl::StrSplit(text, ',')) {
    const size_t before = result.size();
    for (absl::string_view part :
         absl::StrSplit(list, absl::ByAnyChar(" \t\n"), absl::SkipWhitespace())) {
      int32_t value = 0;
      if (!absl::SimpleAtoi(part, &value)) {
        if (int64_t large = 0; absl::SimpleAtoi(part, &large)) {
          return UsageError(absl::StrCat(what, ": ", part, " is out of range; expected ",
                                         std::numeric_limits<int32_t>::min(), " to ",
                                         std::numeric_limits<int32_t>::max(), "."));
        }
        return UsageError(absl::StrCat(what, ": \"", part, "\" is not a whole number", kExpected));
      }
      result.push_back(value);
    }
    if (result.size() > before) continue;
    const bool has_comma = list.size() < text.size();
    return UsageError(
        absl::StrCat(what, has_comma ? " has a comma without a number" : " is empty", kExpected));
  }
  return result;
}

}  // namespace heed::cli
