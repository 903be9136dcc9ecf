#include "client/cli/bench/bench_output.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/base/format.h"
#include "client/cli/base/json.h"
#include "client/cli/base/table.h"
#include "client/cli/base/token_text.h"

namespace heed::cli {
namespace {

std::string RangeText(const LengthRange& range) {
  if (range.least == range.most) return FormatCount(range.least);
  return absl::StrCat(FormatCount(range.least), " to ", FormatCount(range.most));
}

std::string PlanText(const BenchResult& result) {
  const LoadPlan& plan = result.plan;
  std::string text = plan.rate
                         ? absl::StrFormat("%g calls/s at random times (open loop)", *plan.rate)
                         : absl::StrCat(Plural(plan.streams, "stream"), " (closed loop)");
  absl::StrAppend(&text, " against ", SafeText(plan.model), ": prompts of ",
                  RangeText(plan.prompt_tokens), " tokens");
  if (plan.shared_tokens > 0) {
    absl::StrAppend(&text, ", the first ", FormatCount(plan.shared_tokens), " the same");
  }
  absl::StrAppend(&text, ", answers of ", RangeText(plan.new_tokens));
  if (plan.temperature) absl::StrAppendFormat(&text, ", temperature %g", *plan.temperature);
  if (plan.top_p) absl::StrAppendFormat(&text, ", top-p %g", *plan.top_p);
  absl::StrAppend(&text, ", seed ", plan.seed, "; ", Plural(result.report.calls, "call"), " in ",
                  FormatMillis(result.report.length));
  if (result.interrupted) absl::StrAppend(&text, ", ended by Ctrl-C");
  return text;
}

std::string ThroughputText(const BenchReport& report) {
  std::string text = absl::StrFormat("%.2f calls/s, %.1f generated tokens/s",
                                     report.calls_per_second, report.generated_tokens_per_second);
  if (report.accepted_tokens_per_second > 0) {
    absl::StrAppendFormat(&text, ", %.1f of them from drafts", report.accepted_tokens_per_second);
  }
  absl::StrAppendFormat(&text, ", %.1f prompt tokens/s", report.prompt_tokens_per_second);
  if (report.cached_tokens_per_second > 0) {
    absl::StrAppendFormat(&text, ", %.1f of them cached", report.cached_tokens_per_second);
  }
  return text;
}

std::string GoodputText(const BenchResult& result) {
  const BenchReport& report = result.report;
  std::vector<std::string> limits;
  if (result.limits.first_token) {
    limits.push_back("first token within " + FormatMillis(*result.limits.first_token));
  }
  if (result.limits.mean_gap) {
    limits.push_back("the others every " + FormatMillis(*result.limits.mean_gap) + " on average");
  }
  const double share =
      report.calls > 0 ? static_cast<double>(report.good) / static_cast<double>(report.calls) : 0;
  return absl::StrFormat("%.2f calls/s, %.1f %% of all calls, with the %s",
                         report.good_calls_per_second, 100 * share, absl::StrJoin(limits, ", "));
}

constexpr std::pair<const char*, absl::Duration Quantiles::*> kQuantiles[] = {
    {"p50", &Quantiles::p50},
    {"p90", &Quantiles::p90},
    {"p99", &Quantiles::p99},
    {"mean", &Quantiles::mean},
    {"max", &Quantiles::max}};

void ShowTable(const BenchResult& result, Session& session) {
  const BenchReport& report = result.report;
  session.out() << Paragraph(session.terminal(), PlanText(result)) << "\n";
  Table times({{"", Align::kLeft, 0, Narrow::kKeep},
               {"p50", Align::kRight},
               {"p90", Align::kRight, 2},
               {"p99", Align::kRight},
               {"mean", Align::kRight, 1},
               {"max", Align::kRight, 3}});
  for (const auto& [name, times_of] :
       {std::pair{"first token", &report.first_token}, std::pair{"between tokens", &report.gaps},
        std::pair{"whole call", &report.whole_call}}) {
    std::vector<std::string> cells = {name};
    for (const auto& [column, time] : kQuantiles) {
      cells.push_back(times_of->has_value() ? FormatMillis((**times_of).*time) : "-");
    }
    times.AddRow(std::move(cells));
  }
  session.out() << times.Render(session.terminal()) << "\n";
  Table facts({{"", Align::kLeft, 0, Narrow::kKeep}, {"", Align::kLeft, 0, Narrow::kWrap}});
  facts.AddRow({"throughput", ThroughputText(report)});
  if (result.limits.first_token || result.limits.mean_gap) {
    facts.AddRow({"goodput", GoodputText(result)});
  }
  for (const auto& [code, errors] : report.errors) {
    facts.AddRow({"errors", absl::StrCat(FormatCount(errors.count), " ", code, ": ",
                                         SafeText(errors.message))});
  }
  if (report.errors.empty()) facts.AddRow({"errors", "none"});
  session.out() << facts.Render(session.terminal());
}

void WriteQuantiles(JsonWriter& json, absl::string_view key,
                    const std::optional<Quantiles>& times) {
  json.Key(key).BeginObject();
  for (const auto& [name, time] : kQuantiles) {
    json.Key(name);
    times ? json.Number(absl::ToDoubleMilliseconds((*times).*time)) : json.Null();
  }
  json.EndObject();
}

void WriteRange(JsonWriter& json, absl::string_view key, const LengthRange& range) {
  json.Key(key).BeginArray().Int(range.least).Int(range.most).EndArray();
}

void WritePlan(JsonWriter& json, const BenchResult& result) {
  const LoadPlan& plan = result.plan;
  const auto limit = [&](absl::string_view key, const std::optional<absl::Duration>& time) {
    json.Key(key);
    time ? json.Number(absl::ToDoubleMilliseconds(*time)) : json.Null();
  };
  json.Key("plan").BeginObject();
  json.Key("model").String(plan.model);
  json.Key("loop").String(plan.rate ? "open" : "closed");
  json.Key("streams");
  plan.rate ? json.Null() : json.Int(plan.streams);
  json.Key("rate_per_s");
  plan.rate ? json.Number(*plan.rate) : json.Null();
  WriteRange(json, "prompt_token_counts", plan.prompt_tokens);
  json.Key("shared_token_count").Int(plan.shared_tokens);
  WriteRange(json, "generated_token_counts", plan.new_tokens);
  json.Key("temperature");
  plan.temperature ? json.Number(*plan.temperature) : json.Null();
  json.Key("top_p");
  plan.top_p ? json.Number(*plan.top_p) : json.Null();
  json.Key("seed").Int(plan.seed);
  limit("first_token_limit_ms", result.limits.first_token);
  limit("mean_gap_limit_ms", result.limits.mean_gap);
  json.EndObject();
}

void ShowJson(const BenchResult& result, Session& session) {
  const BenchReport& report = result.report;
  JsonWriter json(session.out());
  json.BeginObject();
  WritePlan(json, result);
  json.Key("interrupted").Bool(result.interrupted);
  json.Key("window_s").Number(absl::ToDoubleSeconds(report.length));
  json.Key("call_count").Int(report.calls);
  json.Key("failed_count").Int(report.failed);
  json.Key("good_count").Int(report.good);
  WriteQuantiles(json, "first_token_ms", report.first_token);
  WriteQuantiles(json, "between_tokens_ms", report.gaps);
  WriteQuantiles(json, "whole_call_ms", report.whole_call);
  json.Key("calls_per_s").Number(report.calls_per_second);
  json.Key("good_calls_per_s").Number(report.good_calls_per_second);
  json.Key("prompt_tokens_per_s").Number(report.prompt_tokens_per_second);
  json.Key("cached_prompt_tokens_per_s").Number(report.cached_tokens_per_second);
  json.Key("generated_tokens_per_s").Number(report.generated_tokens_per_second);
  json.Key("accepted_tokens_per_s").Number(report.accepted_tokens_per_second);
  json.Key("errors").BeginArray();
  for (const auto& [code, errors] : report.errors) {
    json.BeginObject();
    json.Key("code").String(code);
    json.Key("count").Int(errors.count);
    json.Key("first_message").String(errors.message);
    json.EndObject();
  }
  json.EndArray().EndObject();
  json.EndLine();
}

}  // namespace

void ShowBench(const BenchResult& result, Session& session) {
  session.json() ? ShowJson(result, session) : ShowTable(result, session);
}

}  // namespace heed::cli
