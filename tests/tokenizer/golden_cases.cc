#include "tests/tokenizer/golden_cases.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "absl/strings/escaping.h"
#include "model/base/json.h"
#include "model/base/status_macros.h"
#include "model/base/utf8.h"

namespace heed {
namespace {

absl::StatusOr<std::string> Base64At(const JsonValue& json, absl::string_view key) {
  HEED_ASSIGN_OR_RETURN(const absl::string_view encoded, json.StringAt(key));
  std::string decoded;
  if (!absl::Base64Unescape(encoded, &decoded)) return json.Error("holds no base64");
  return decoded;
}

absl::StatusOr<std::vector<int64_t>> Integers(const JsonValue& json) {
  std::vector<int64_t> values;
  HEED_RETURN_IF_ERROR(json.ForEachElement([&](int64_t, const JsonValue& element) {
    HEED_ASSIGN_OR_RETURN(const int64_t value, element.Int(0, int64_t{1} << 31));
    values.push_back(value);
    return absl::OkStatus();
  }));
  return values;
}

absl::StatusOr<std::vector<TokenId>> IdsAt(const JsonValue& json, absl::string_view key) {
  HEED_ASSIGN_OR_RETURN(const JsonValue array, json.Get(key));
  HEED_ASSIGN_OR_RETURN(const std::vector<int64_t> values, Integers(array));
  return std::vector<TokenId>(values.begin(), values.end());
}

absl::StatusOr<std::vector<ByteRange>> RangesAt(const JsonValue& json, absl::string_view key) {
  HEED_ASSIGN_OR_RETURN(const JsonValue array, json.Get(key));
  std::vector<ByteRange> ranges;
  HEED_RETURN_IF_ERROR(array.ForEachElement([&](int64_t, const JsonValue& element) {
    HEED_ASSIGN_OR_RETURN(const std::vector<int64_t> pair, Integers(element));
    if (pair.size() != 2) return element.Error("is no pair");
    ranges.push_back({pair[0], pair[1]});
    return absl::OkStatus();
  }));
  return ranges;
}

absl::StatusOr<GoldenCase> ParseCase(const JsonValue& json) {
  GoldenCase result;
  HEED_ASSIGN_OR_RETURN(const absl::string_view name, json.StringAt("name"));
  result.name = std::string(name);
  HEED_ASSIGN_OR_RETURN(result.text, Base64At(json, "text_base64"));
  HEED_ASSIGN_OR_RETURN(result.ids, IdsAt(json, "ids"));
  HEED_ASSIGN_OR_RETURN(result.ids_with_special, IdsAt(json, "ids_with_special"));
  const std::optional<JsonValue> as_text = json.Find("ids_specials_as_text");
  if (as_text.has_value()) {
    HEED_ASSIGN_OR_RETURN(result.ids_specials_as_text, IdsAt(json, "ids_specials_as_text"));
  }
  HEED_ASSIGN_OR_RETURN(result.offsets_with_special, RangesAt(json, "byte_offsets_with_special"));
  HEED_ASSIGN_OR_RETURN(result.decoded, Base64At(json, "decoded_base64"));
  HEED_ASSIGN_OR_RETURN(result.decoded_all, Base64At(json, "decoded_all_base64"));
  return result;
}

absl::StatusOr<std::vector<GoldenCase>> ParseCases(const std::string& text) {
  HEED_ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse("cases.json", text));
  HEED_ASSIGN_OR_RETURN(const JsonValue array, document.root().Get("cases"));
  std::vector<GoldenCase> cases;
  HEED_RETURN_IF_ERROR(array.ForEachElement([&](int64_t, const JsonValue& element) {
    HEED_ASSIGN_OR_RETURN(cases.emplace_back(), ParseCase(element));
    return absl::OkStatus();
  }));
  return cases;
}

// [name, text in base64]
absl::StatusOr<GoldenCase> ParseText(const JsonValue& json) {
  HEED_ASSIGN_OR_RETURN(const std::vector<JsonValue> parts, json.Array());
  if (parts.size() != 2) return json.Error("is no pair");
  GoldenCase result;
  HEED_ASSIGN_OR_RETURN(const absl::string_view name, parts[0].String());
  result.name = std::string(name);
  HEED_ASSIGN_OR_RETURN(const absl::string_view encoded, parts[1].String());
  if (!absl::Base64Unescape(encoded, &result.text)) return json.Error("holds no base64");
  return result;
}

absl::StatusOr<std::vector<TokenId>> Ids(const JsonValue& json) {
  HEED_ASSIGN_OR_RETURN(const std::vector<int64_t> values, Integers(json));
  return std::vector<TokenId>(values.begin(), values.end());
}

// The ranges behind pairs of a distance from the end before and a length.
absl::StatusOr<std::vector<ByteRange>> RelativeRanges(const JsonValue& json) {
  std::vector<ByteRange> ranges;
  int64_t end = 0;
  HEED_RETURN_IF_ERROR(json.ForEachElement([&](int64_t index, const JsonValue& element) {
    HEED_ASSIGN_OR_RETURN(const int64_t value, element.Int());
    end += value;
    if (index % 2 == 0) {
      ranges.push_back({end, end});
    } else {
      ranges.back().end = end;
    }
    return absl::OkStatus();
  }));
  return ranges;
}

struct Around {
  int64_t n_before = 0;
  int64_t n_after = 0;
};

absl::Status ParseAnswer(const JsonValue& json, const Around& around, GoldenCase* result) {
  HEED_ASSIGN_OR_RETURN(const std::vector<JsonValue> parts, json.Array());
  if (parts.size() != 5) return json.Error("has not five parts");
  HEED_ASSIGN_OR_RETURN(result->ids_with_special, Ids(parts[0]));
  result->ids.assign(result->ids_with_special.begin() + around.n_before,
                     result->ids_with_special.end() - around.n_after);
  HEED_ASSIGN_OR_RETURN(result->offsets_with_special, RelativeRanges(parts[1]));
  HEED_ASSIGN_OR_RETURN(const absl::string_view decoded, parts[2].String());
  result->decoded = std::string(decoded);
  HEED_ASSIGN_OR_RETURN(const absl::string_view decoded_all, parts[3].String());
  result->decoded_all = std::string(decoded_all);
  if (parts[4].IsNull()) return absl::OkStatus();
  HEED_ASSIGN_OR_RETURN(result->ids_specials_as_text, Ids(parts[4]));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<GoldenCase>> ParseTexts(const std::string& texts) {
  HEED_ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse("texts.json", texts));
  std::vector<GoldenCase> cases;
  HEED_ASSIGN_OR_RETURN(const JsonValue list, document.root().Get("texts"));
  HEED_RETURN_IF_ERROR(list.ForEachElement([&](int64_t, const JsonValue& element) {
    HEED_ASSIGN_OR_RETURN(cases.emplace_back(), ParseText(element));
    return absl::OkStatus();
  }));
  return cases;
}

absl::StatusOr<std::vector<GoldenCase>> ParseIds(const std::string& texts, const std::string& ids) {
  HEED_ASSIGN_OR_RETURN(std::vector<GoldenCase> cases, ParseTexts(texts));
  HEED_ASSIGN_OR_RETURN(const JsonDocument json, JsonDocument::Parse("ids.json", ids));
  HEED_ASSIGN_OR_RETURN(const JsonValue list, json.root().Get("ids"));
  HEED_ASSIGN_OR_RETURN(const std::vector<JsonValue> elements, list.Array());
  if (elements.size() != cases.size()) return list.Error("has another length than texts.json");
  for (size_t i = 0; i < elements.size(); ++i) {
    HEED_ASSIGN_OR_RETURN(cases[i].ids_with_special, Ids(elements[i]));
  }
  return cases;
}

absl::StatusOr<std::vector<GoldenCase>> ParseAnswers(const std::string& texts,
                                                     const std::string& answers) {
  HEED_ASSIGN_OR_RETURN(std::vector<GoldenCase> cases, ParseTexts(texts));
  HEED_ASSIGN_OR_RETURN(const JsonDocument json, JsonDocument::Parse("answers.json", answers));
  Around around;
  HEED_ASSIGN_OR_RETURN(const JsonValue n_before, json.root().Get("n_before"));
  HEED_ASSIGN_OR_RETURN(around.n_before, n_before.Int(0, 10));
  HEED_ASSIGN_OR_RETURN(const JsonValue n_after, json.root().Get("n_after"));
  HEED_ASSIGN_OR_RETURN(around.n_after, n_after.Int(0, 10));
  HEED_ASSIGN_OR_RETURN(const JsonValue list, json.root().Get("answers"));
  HEED_ASSIGN_OR_RETURN(const std::vector<JsonValue> elements, list.Array());
  if (elements.size() != cases.size()) return list.Error("has another length than texts.json");
  for (size_t i = 0; i < elements.size(); ++i) {
    HEED_RETURN_IF_ERROR(ParseAnswer(elements[i], around, &cases[i]));
  }
  return cases;
}

}  // namespace

std::string ReadFileOrDie(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream contents;
  contents << file.rdbuf();
  if (!file) {
    std::cerr << "cannot read " << path << "\n";
    std::exit(1);
  }
  return contents.str();
}

std::vector<GoldenCase> ReadGoldenCases(const std::string& path) {
  absl::StatusOr<std::vector<GoldenCase>> cases = ParseCases(ReadFileOrDie(path));
  if (!cases.ok()) {
    std::cerr << path << ": " << cases.status() << "\n";
    std::exit(1);
  }
  return *std::move(cases);
}

std::vector<GoldenCase> ReadGoldenAnswers(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path().parent_path();
  absl::StatusOr<std::vector<GoldenCase>> cases =
      ParseAnswers(ReadFileOrDie((folder / "texts.json").string()), ReadFileOrDie(path));
  if (!cases.ok()) {
    std::cerr << path << ": " << cases.status() << "\n";
    std::exit(1);
  }
  return *std::move(cases);
}

std::vector<GoldenCase> ReadGoldenIds(const std::string& texts_path, const std::string& path) {
  absl::StatusOr<std::vector<GoldenCase>> cases =
      ParseIds(ReadFileOrDie(texts_path), ReadFileOrDie(path));
  if (!cases.ok()) {
    std::cerr << path << ": " << cases.status() << "\n";
    std::exit(1);
  }
  return *std::move(cases);
}

std::vector<std::string> GoldenFiles(const std::string& path, const std::string& name) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    const std::filesystem::path file = entry.path() / name;
    if (std::filesystem::exists(file)) files.push_back(file.string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<int64_t> OriginalPositions(const std::string& text) {
  constexpr int kReplacementBytes = 3;
  std::vector<int64_t> positions;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = DecodeUtf8(absl::string_view(text).substr(at));
    positions.insert(positions.end(), c.valid ? c.length : kReplacementBytes,
                     static_cast<int64_t>(at));
    at += c.length;
  }
  positions.push_back(static_cast<int64_t>(text.size()));
  return positions;
}

}  // namespace heed
