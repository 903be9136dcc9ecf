#include "client/cli/base/format.h"

#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace heed::cli {

std::string FormatCount(int64_t count) {
  std::string digits = absl::StrCat(count < 0 ? -count : count);
  for (int i = static_cast<int>(digits.size()) - 3; i > 0; i -= 3) digits.insert(i, 1, ',');
  return absl::StrCat(count < 0 ? "-" : "", digits);
}

std::string FormatBytes(int64_t bytes) {
  constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return absl::StrCat(bytes, " bytes");
  double value = static_cast<double>(bytes) / 1024;
  int unit = 0;
  while (value >= 1024 && unit < 3) {
    value /= 1024;
    ++unit;
  }
  return absl::StrFormat("%.1f %s", value, kUnits[unit]);
}

std::string FormatMillis(absl::Duration time) {
  const double millis = absl::ToDoubleMilliseconds(time);
  if (millis >= 1000) return absl::StrFormat("%.2f s", millis / 1000);
  return absl::StrFormat(millis < 10 ? "%.1f ms" : "%.0f ms", millis);
}

std::string FormatProbability(double p) {
  if (p > 0 && p < 0.0005) return absl::StrFormat("%.1e", p);
  return absl::StrFormat("%.3f", p);
}

std::string FormatWeight(double weight) {
  if (weight == 0) return "0";
  if (weight >= 0.995) return "1.0";
  return absl::StrFormat("%.2f", weight).substr(1);
}

std::string FormatNats(double nats) {
  return absl::StrFormat("%.2f nats", nats);
}

std::string ShortDigest(const std::string& digest) {
  const size_t colon = digest.find(':');
  return digest.substr(0, colon == std::string::npos ? 12 : colon + 13);
}

std::string Plural(int64_t count, absl::string_view noun) {
  return absl::StrCat(FormatCount(count), " ", noun, count == 1 ? "" : "s");
}

std::string TheFirst(int64_t count, absl::string_view noun) {
  return absl::StrCat("The first ", count == 1 ? std::string(noun) : Plural(count, noun));
}

absl::Duration Total(const Timings& timings) {
  return timings.tokenize + timings.queue + timings.compute;
}

std::string FormatTimings(const Timings& timings) {
  std::vector<std::string> parts;
  if (Total(timings) >= absl::Milliseconds(10)) {
    parts = {FormatMillis(timings.queue) + " waiting",
             FormatMillis(timings.compute) + " computing"};
  }
  if (timings.cached_token_count > 0) {
    parts.push_back(Plural(timings.cached_token_count, "token") + " cached");
  }
  if (timings.accepted_token_count > 0) {
    parts.push_back(FormatCount(timings.accepted_token_count) + " of " +
                    Plural(timings.draft_token_count, "draft") + " accepted");
  }
  const std::string text = FormatMillis(Total(timings));
  return parts.empty() ? text : absl::StrCat(text, " (", absl::StrJoin(parts, ", "), ")");
}

std::string FormatDropped(const PromptInfo& prompt) {
  if (prompt.dropped_token_count == 0) return "";
  const char* end = prompt.truncation == Truncation::kRight ? "last" : "first";
  if (prompt.dropped_token_count == 1) return absl::StrCat("the ", end, " token was dropped");
  return absl::StrCat("the ", end, " ", FormatCount(prompt.dropped_token_count),
                      " tokens were dropped");
}

std::string FormatEdits(const Provenance& provenance) {
  if (provenance.intervention_count <= 0) return "";
  return Plural(provenance.intervention_count, "edit");
}

const char* Name(AttentionDirection direction) {
  switch (direction) {
    case AttentionDirection::kCausal:
      return "causal";
    case AttentionDirection::kBidirectional:
      return "bidirectional";
    case AttentionDirection::kUnknown:
      break;
  }
  return "unknown";
}

const char* Name(Capability capability) {
  switch (capability) {
    case Capability::kPredict:
      return "predict";
    case Capability::kGenerate:
      return "generate";
    case Capability::kAttention:
      return "attention";
    case Capability::kEmbed:
      return "embed";
    case Capability::kUnknown:
      break;
  }
  return "unknown";
}

const char* Name(Mixing mixing) {
  switch (mixing) {
    case Mixing::kAttention:
      return "attention";
    case Mixing::kLastWord:
      return "last_word";
    case Mixing::kAverage:
      return "average";
    case Mixing::kWeighted:
      return "weighted";
    case Mixing::kUnknown:
      break;
  }
  return "unknown";
}

const char* Name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kLength:
      return "length";
    case FinishReason::kContext:
      return "context";
    case FinishReason::kEndOfText:
      return "end_of_text";
    case FinishReason::kStopText:
      return "stop_text";
    case FinishReason::kStopId:
      return "stop_id";
    case FinishReason::kUnknown:
      break;
  }
  return "unknown";
}

const char* Name(Truncation truncation) {
  switch (truncation) {
    case Truncation::kLeft:
      return "left";
    case Truncation::kRight:
      return "right";
    case Truncation::kRefuse:
      break;
  }
  return "none";
}

const char* Name(Serving serving) {
  switch (serving) {
    case Serving::kServing:
      return "SERVING";
    case Serving::kNotServing:
      return "NOT_SERVING";
    case Serving::kServiceUnknown:
      return "SERVICE_UNKNOWN";
    case Serving::kUnknown:
      break;
  }
  return "UNKNOWN";
}

}  // namespace heed::cli
