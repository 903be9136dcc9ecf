#include "client/cli/request/metrics.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/base/format.h"
#include "client/cli/base/token_text.h"
#include "client/cli/request/edits.h"
#include "client/cli/request/inspect_calls.h"

namespace heed::cli {
namespace {

// A token to measure, and how it reads.
struct Word {
  v1::TokenChoice choice;
  std::string name;
};

std::string NameOf(const v1::TokenChoice& choice) {
  if (choice.has_id()) return absl::StrCat("token ", choice.id());
  return VisibleToken({.text = choice.text(), .bytes = choice.text()});
}

// What a metric is called here, and whether it is of a word.
struct MetricKind {
  const char* name;
  bool of_word;
};
constexpr MetricKind kKinds[] = {{"probability", true}, {"logit", true}, {"difference", true},
                                 {"rank", true},        {"kl", false},   {"loss", false}};

absl::StatusOr<const MetricKind*> FindKind(const std::string& name) {
  for (const MetricKind& kind : kKinds) {
    if (name == kind.name) return &kind;
  }
  return UsageError(absl::StrCat("--metric=", name,
                                 " is not one of probability, logit, difference, rank, kl, loss."));
}

// The most probable words of the base: what an edit that changes nothing reports.
absl::StatusOr<std::vector<Word>> LikelyWords(const Arguments& arguments, RunSource& source,
                                              int64_t position, int count, Session& session) {
  v1::InterveneRequest request;
  source.ApplyTo(&request);
  const auto under = ReadUnder(arguments, source);
  if (!under.ok()) return under.status();
  *request.mutable_interventions() = {under->begin(), under->end()};
  v1::Metric& metric = *request.add_metrics();
  metric.mutable_kl_from_base();
  metric.set_position(position);
  request.add_sets();
  request.set_top_k(count);
  const auto answer = Ask(&Inspector::Intervene, request, session);
  if (!answer.ok()) return answer.status();
  std::vector<Word> words;
  for (const v1::Candidate& candidate : answer->base().candidates()) {
    Word& word = words.emplace_back();
    word.choice.set_id(candidate.token().id());
    word.name = VisibleWireToken(candidate.token());
  }
  return words;
}

absl::StatusOr<std::vector<Word>> ReadWords(const Arguments& arguments, RunSource& source,
                                            int64_t position, int count, Session& session) {
  if (!arguments.Has("token")) return LikelyWords(arguments, source, position, count, session);
  std::vector<Word> words;
  for (const std::string& text : arguments.Strings("token")) {
    auto choice = source.Choice(text);
    if (!choice.ok()) return choice.status();
    words.push_back({*choice, NameOf(*choice)});
  }
  return words;
}

void FillMetric(const std::string& kind, const Word& word, const std::optional<Word>& against,
                v1::Metric* metric, std::string* name) {
  *name = absl::StrCat(kind, " of ", word.name);
  if (kind == "probability") {
    *metric->mutable_probability() = word.choice;
    *name = word.name;
  } else if (kind == "logit") {
    *metric->mutable_logit() = word.choice;
  } else if (kind == "rank") {
    *metric->mutable_rank() = word.choice;
  } else if (kind == "difference") {
    *metric->mutable_logit_difference()->mutable_token() = word.choice;
    *metric->mutable_logit_difference()->mutable_against() = against->choice;
    *name = absl::StrCat("logit of ", word.name, " less ", against->name);
  } else if (kind == "kl") {
    metric->mutable_kl_from_base();
    *name = "KL from base, nats";
  } else {
    metric->mutable_loss();
    *name = "loss, nats";
  }
}

absl::StatusOr<NamedMetrics> Make(const std::vector<std::string>& kinds, int word_count,
                                  const Arguments& arguments, RunSource& source, Session& session) {
  const auto position = source.ReadPosition(arguments, "position");
  if (!position.ok()) return position.status();
  std::optional<Word> against;
  if (arguments.Has("against")) {
    auto choice = source.Choice(arguments.String("against"));
    if (!choice.ok()) return choice.status();
    against = Word{*choice, NameOf(*choice)};
  }
  bool any_of_word = false;
  for (const std::string& name : kinds) {
    const auto kind = FindKind(name);
    if (!kind.ok()) return kind.status();
    any_of_word = any_of_word || (*kind)->of_word;
    if (name == "difference" && !against) {
      return UsageError("--metric=difference needs --against=WORD.");
    }
  }
  std::vector<Word> words;
  if (any_of_word) {
    auto read = ReadWords(arguments, source, *position, word_count, session);
    if (!read.ok()) return read.status();
    words = *std::move(read);
  }
  NamedMetrics result;
  for (const std::string& name : kinds) {
    const bool of_word = (*FindKind(name))->of_word;
    for (const Word& word : of_word ? words : std::vector<Word>(1)) {
      FillMetric(name, word, against, &result.metrics.emplace_back(), &result.names.emplace_back());
      if (name != "loss") result.metrics.back().set_position(*position);
    }
  }
  return result;
}

}  // namespace

std::vector<OptionSpec> MetricOptions() {
  return {{"metric", "NAME",
           "probability, logit, difference (of two words' logits), rank, kl or loss.", true},
          {"token", "TEXT",
           "The metric's word; default the most probable. A number is a token's id, and behind a "
           "space a word.",
           true},
          {"against", "TEXT", "The other word of --metric=difference."},
          {"position", "WORD",
           "Where it is read, by word or position; default the mask to fill in, else the last."}};
}

absl::StatusOr<NamedMetrics> ReadMetrics(const Arguments& arguments, RunSource& source,
                                         int word_count, Session& session) {
  const std::vector<std::string> kinds = arguments.Has("metric")
                                             ? arguments.Strings("metric")
                                             : std::vector<std::string>{"probability", "kl"};
  return Make(kinds, word_count, arguments, source, session);
}

absl::StatusOr<NamedMetrics> ReadMetric(const Arguments& arguments, RunSource& source,
                                        Session& session) {
  auto metrics = Make({arguments.String("metric", "probability")}, 1, arguments, source, session);
  if (!metrics.ok()) return metrics.status();
  if (arguments.Strings("metric").size() > 1 || metrics->metrics.size() > 1) {
    return UsageError("one metric at a time: give --metric and --token once.");
  }
  return metrics;
}

std::string FormatMetric(const v1::Metric& metric, double value) {
  if (metric.has_probability()) return FormatProbability(value);
  if (metric.has_rank()) return FormatCount(static_cast<int64_t>(value));
  return absl::StrFormat("%.4f", value);
}

std::string KindOf(const v1::Metric& metric) {
  if (metric.has_probability()) return "probability";
  if (metric.has_logit()) return "logit";
  if (metric.has_logit_difference()) return "difference";
  if (metric.has_rank()) return "rank";
  return metric.has_kl_from_base() ? "kl" : "loss";
}

std::string LongName(const NamedMetrics& metrics, size_t index) {
  return absl::StrCat(metrics.metrics[index].has_probability() ? "probability of " : "",
                      metrics.names[index]);
}

std::optional<int64_t> PlaceOf(const v1::Metric& metric, const v1::PromptInfo& prompt) {
  const int64_t count = prompt.tokens_size();
  const int64_t position = metric.position() < 0 ? metric.position() + count : metric.position();
  if (!metric.has_position() || position < 0 || position >= count) return std::nullopt;
  return position;
}

std::string PlaceText(const v1::Metric& metric, const v1::PromptInfo& prompt) {
  const auto position = PlaceOf(metric, prompt);
  if (!position || *position == prompt.tokens_size() - 1) return "";
  return absl::StrCat("Read at ", VisibleWireToken(prompt.tokens(static_cast<int>(*position))),
                      " (position ", *position, ").");
}

absl::StatusOr<std::vector<v1::Intervention>> ReadUnder(const Arguments& arguments,
                                                        RunSource& source) {
  std::vector<v1::Intervention> interventions;
  for (const std::string& text : arguments.Strings("under")) {
    const auto edit = Arguments::Parse({absl::StrCat("--", text)}, EditOptions(), "heed intervene");
    if (!edit.ok() || !edit->positionals().empty()) {
      return UsageError(absl::StrCat("--under=", text,
                                     " is no edit.\nFor example: --under=ablate=2.3, or "
                                     "--under=\"cut=cabinet->keys\"."));
    }
    const auto edits = ReadEdits(*edit, source);
    if (!edits.ok()) return edits.status();
    for (const NamedEdit& named : *edits) {
      source.session().NameField(absl::StrCat("interventions[", interventions.size(), "]"),
                                 absl::StrCat("--under=", text));
      interventions.push_back(named.edit);
    }
  }
  return interventions;
}

}  // namespace heed::cli
