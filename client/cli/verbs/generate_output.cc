#include "client/cli/verbs/generate_output.h"

#include <algorithm>
#include <map>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/base/format.h"
#include "client/cli/base/json_parts.h"
#include "client/cli/base/token_text.h"
#include "client/cli/base/wire_json.h"
#include "client/cli/request/traces.h"

namespace heed::cli {
namespace {

constexpr int kTokenColumns = 16;
constexpr int kStrongKeys = 3;
constexpr int kTokenIndent = 4;  // of the lines that follow a token's first

void WriteTile(JsonWriter& json, const AttentionTile& tile) {
  json.BeginObject();
  json.Key("layer").Int(tile.layer);
  json.Key("head").Int(tile.head);
  json.Key("queries");
  WriteInts(json, tile.queries);
  json.Key("keys");
  WriteInts(json, tile.keys);
  json.Key("weights");
  WriteFloats(json, tile.weights);
  json.Key("dropped_mass");
  WriteFloats(json, tile.dropped_mass);
  json.EndObject();
}

void WriteEvent(JsonWriter& json, const GenerateStart& start) {
  json.Key("event").String("start");
  json.Key("model");
  WriteIdentity(json, start.model);
  json.Key("prompt");
  WritePrompt(json, start.prompt);
  json.Key("seed");
  start.seed ? json.Int(*start.seed) : json.Null();
  json.Key("provenance");
  WriteProvenance(json, start.model, start.provenance);
}

void WriteEvent(JsonWriter& json, const GeneratedToken& token) {
  json.Key("event").String("token");
  json.Key("position").Int(token.position);
  json.Key("token");
  WriteToken(json, token.token);
  json.Key("probability").Number(token.probability);
  json.Key("log_probability").Number(token.log_probability);
  json.Key("rank").Int(token.rank);
  json.Key("entropy_nats").Number(token.entropy);
  json.Key("alternatives");
  WriteCandidates(json, token.alternatives);
  json.Key("text_delta").String(token.text_delta);
  json.Key("attention").BeginArray();
  for (const AttentionTile& tile : token.attention) WriteTile(json, tile);
  json.EndArray();
}

void WriteEvent(JsonWriter& json, const GenerateEnd& end) {
  json.Key("event").String("end");
  json.Key("finish_reason").String(Name(end.finish_reason));
  json.Key("stop_text").String(end.stop_text);
  json.Key("stop_id");
  end.stop_id ? json.Int(*end.stop_id) : json.Null();
  json.Key("text_delta").String(end.text_delta);
  json.Key("generated_token_count").Int(end.generated_token_count);
  json.Key("cached_token_count").Int(end.timings.cached_token_count);
  json.Key("timings_ms");
  WriteTimings(json, end.timings);
}

// Why it ended, as a sentence goes on after "30 tokens, ".
std::string FinishText(const GenerateEnd& end) {
  switch (end.finish_reason) {
    case FinishReason::kLength:
      return "stopped at the limit of tokens (length)";
    case FinishReason::kContext:
      return "stopped at the end of the context window (context)";
    case FinishReason::kEndOfText:
      return "ended by the model (end_of_text)";
    case FinishReason::kStopText:
      return absl::StrCat("stopped before \"", SafeText(end.stop_text), "\" (stop_text)");
    case FinishReason::kStopId:
      return absl::StrCat("stopped at token ", end.stop_id.value_or(-1), " (stop_id)");
    case FinishReason::kUnknown:
      break;
  }
  return "ended for a reason that this version of heed does not know";
}

}  // namespace

std::vector<StrongKey> StrongestKeys(const std::vector<AttentionTile>& tiles, int count) {
  std::map<int32_t, StrongKey> best;
  for (const AttentionTile& tile : tiles) {
    if (tile.top_k < 1 || tile.queries.empty()) continue;
    const size_t row = (tile.queries.size() - 1) * tile.top_k;
    for (size_t i = row; i < row + tile.top_k; ++i) {
      const int32_t key = tile.keys[i];
      if (key <= 0 || key == tile.queries.back() || !(tile.weights[i] > 0)) continue;
      StrongKey& strongest = best[key];
      if (tile.weights[i] <= strongest.weight) continue;
      strongest = {key, tile.weights[i], tile.layer, tile.head};
    }
  }
  std::vector<StrongKey> keys;
  for (const auto& [key, strongest] : best) keys.push_back(strongest);
  std::stable_sort(keys.begin(), keys.end(),
                   [](const StrongKey& a, const StrongKey& b) { return a.weight > b.weight; });
  if (static_cast<int>(keys.size()) > count) keys.resize(count);
  return keys;
}

void GenerateOutput::Show(const GenerateEvent& event) {
  if (format_.json) {
    JsonWriter json(session_.out());
    json.BeginObject();
    std::visit([&](const auto& one) { WriteEvent(json, one); }, event);
    json.EndObject();
    json.EndLine();
    session_.out().flush();
    return;
  }
  if (const auto* start = std::get_if<GenerateStart>(&event)) ShowStart(*start);
  if (const auto* token = std::get_if<GeneratedToken>(&event)) ShowToken(*token);
  if (const auto* end = std::get_if<GenerateEnd>(&event)) ShowEnd(*end);
}

void GenerateOutput::ShowTrace(const v1::TraceInfo& trace) {
  if (!format_.json) {
    const Terminal& terminal = session_.err_terminal();
    session_.err() << Paragraph(
        terminal, Styled(terminal, Emphasis::kDim, absl::StrCat("heed: ", DescribeTrace(trace))));
    return;
  }
  JsonWriter json(session_.out());
  json.BeginObject().Key("event").String("trace").Key("trace");
  WriteWireMessage(json, trace);
  json.EndObject();
  json.EndLine();
}

void GenerateOutput::ShowStart(const GenerateStart& start) {
  model_ = start.model;
  provenance_ = start.provenance;
  tokens_ = VisibleTokens(start.prompt.tokens);
  has_text_ =
      std::any_of(start.prompt.tokens.begin(), start.prompt.tokens.end(),
                  [](const Token& token) { return !token.piece.empty() || !token.bytes.empty(); });
  const std::string dropped = FormatDropped(start.prompt);
  if (!dropped.empty()) session_.err() << "heed: " << dropped << " from the prompt\n";
  if (start.seed) session_.err() << "heed: seed " << *start.seed << "\n";
  if (format_.attention) {
    session_.err() << Paragraph(session_.err_terminal(),
                                "heed: the strongest words of all heads' last rows; the first word "
                                "and a row's own, where heads with nothing to say look, are left "
                                "out");
  }
  if (per_token() || !session_.terminal().is_terminal) return;
  std::string text = has_text_ ? "" : absl::StrJoin(tokens_, " ");
  for (const Token& token : start.prompt.tokens) {
    if (!token.special) text += token.bytes;
  }
  session_.out() << Styled(session_.terminal(), Emphasis::kDim, SafeText(text)) << std::flush;
  line_open_ = true;
}

void GenerateOutput::ShowToken(const GeneratedToken& token) {
  if (per_token()) {
    ShowTokenLine(token);
  } else {
    ShowText(has_text_ ? token.text_delta
                       : absl::StrCat(line_open_ ? " " : "", VisibleToken(token.token)));
  }
  tokens_.push_back(VisibleToken(token.token));
}

void GenerateOutput::ShowText(const std::string& text) {
  if (text.empty()) return;
  session_.out() << (session_.terminal().is_terminal ? SafeText(text) : text) << std::flush;
  line_open_ = true;
}

void GenerateOutput::ShowTokenLine(const GeneratedToken& token) {
  std::vector<std::string> items = {
      absl::StrCat(PadLeft(absl::StrCat(token.position), 5), "  ",
                   PadRight(Fit(VisibleToken(token.token), kTokenColumns), kTokenColumns), "  ",
                   PadLeft(FormatProbability(token.probability), 7))};
  if (format_.log_probabilities) {
    items.push_back(absl::StrCat("rank ", PadRight(FormatCount(token.rank), 5), " ",
                                 PadLeft(FormatNats(token.entropy), 10)));
    items.push_back("of");
    for (const Candidate& candidate : token.alternatives) {
      items.push_back(absl::StrCat(VisibleToken(candidate.token), " ",
                                   FormatProbability(candidate.probability)));
    }
  }
  if (format_.attention) {
    items.push_back("from");
    const std::vector<StrongKey> keys = StrongestKeys(token.attention, kStrongKeys);
    if (keys.empty()) items.push_back("no other word");
    for (const StrongKey& key : keys) {
      const auto index = static_cast<size_t>(key.key);
      items.push_back(absl::StrCat(index < tokens_.size() ? tokens_[index] : "?", " ",
                                   FormatWeight(key.weight), " (", key.key, ", layer ", key.layer,
                                   " head ", key.head, ")"));
    }
  }
  session_.out() << JoinItems(session_.terminal(), items, "  ", kTokenIndent) << "\n" << std::flush;
}

void GenerateOutput::ShowEnd(const GenerateEnd& end) {
  if (!per_token()) ShowText(end.text_delta);
  BreakOff();
  std::string speed;
  const double seconds = absl::ToDoubleSeconds(end.timings.compute);
  if (seconds > 0) {
    speed = absl::StrFormat(", %.0f tokens/s",
                            static_cast<double>(end.generated_token_count) / seconds);
  }
  const Terminal& terminal = session_.err_terminal();
  std::string summary =
      absl::StrCat("heed: ", Plural(end.generated_token_count, "token"), ", ", FinishText(end),
                   speed, ", ", FormatTimings(end.timings), ", ", ModelText(model_));
  const std::string edits = FormatEdits(provenance_);
  if (!edits.empty()) absl::StrAppend(&summary, ", ", edits);
  if (provenance_.counterfactual_mask) absl::StrAppend(&summary, ", counterfactual");
  session_.err() << Paragraph(terminal, Styled(terminal, Emphasis::kDim, summary));
}

void GenerateOutput::BreakOff() {
  if (line_open_) session_.out() << "\n" << std::flush;
  line_open_ = false;
}

}  // namespace heed::cli
