#include "client/cli/base/report.h"

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/cli/base/arguments.h"
#include "client/cli/base/format.h"
#include "client/cli/base/terminal.h"
#include "client/cli/base/token_text.h"
#include "client/error.h"

namespace heed::cli {
namespace {

constexpr char kFirstIndent[] = "heed: ";
constexpr char kNextIndent[] = "      ";
constexpr int kWidth = 100;

// Fields of requests, by the beginning of their path, and what fills them here. Longer paths come
// before their beginnings.
constexpr std::pair<absl::string_view, absl::string_view> kFieldOptions[] = {
    {"a.model", "--model"},
    {"a.prompt", "the first prompt"},
    {"a.trace_id", "--trace"},
    {"activation_patching.clean", "--clean"},
    {"activation_patching.clean_trace_id", "--clean-trace"},
    {"activation_patching.heads", "--head"},
    {"activation_patching.layers", "--layer"},
    {"activation_patching.positions", "--at"},
    {"activation_patching.site", "--site"},
    {"against", "--against"},
    {"attention.layers", "--layer"},
    {"attention.heads", "--head"},
    {"b.model", "--other-model"},
    {"b.prompt", "the second prompt"},
    {"b.trace_id", "--other-trace"},
    {"candidates.ids", "--candidate-ids"},
    {"candidates.texts", "--candidates"},
    {"candidates.top_k", "--top"},
    {"candidates.full", "--full"},
    {"custom", "--pattern"},
    {"dimensions", "--dimensions"},
    {"edge_knock_out.heads", "--head"},
    {"edge_knock_out.keys", "--key"},
    {"edge_knock_out.layers", "--layer"},
    {"edge_knock_out.queries", "--query"},
    {"focus_dial.betas", "--betas"},
    {"focus_dial.heads", "--head"},
    {"focus_dial.layers", "--layer"},
    {"focus_dial.positions", "--at"},
    {"head", "--head"},
    {"head_ablation.heads", "--head"},
    {"head_ablation.layers", "--layer"},
    {"head_ablation.positions", "--at"},
    {"heads", "--head"},
    {"hover.head", "--head"},
    {"hover.layer", "--layer"},
    {"hover.query", "--query"},
    {"hover.tokens", "--token"},
    {"ids", "the token id"},
    {"keep.ttl", "--ttl"},
    {"layer", "--layer"},
    {"layer_begin", "--layers"},
    {"layer_end", "--layers"},
    {"layers", "--layer"},
    {"metric.logit", "--token"},
    {"metric.logit_difference.against", "--against"},
    {"metric.logit_difference", "--token"},
    {"metric.loss", "--token"},
    {"metric.position", "--position"},
    {"metric.probability", "--token"},
    {"metric.rank", "--token"},
    {"model", "--model"},
    {"open.prompt", "the prompt"},
    {"pooling", "--pooling"},
    {"position", "--position"},
    {"positions", "--position"},
    {"prompt.text", "the prompt"},
    {"prompt.tokens", "--ids"},
    {"prompt.truncation", "--truncate"},
    {"prompt", "the prompt"},
    {"prompts", "the texts"},
    {"queries", "--query"},
    {"query", "--query"},
    {"residual_weight", "--identity"},
    {"sampling.frequency_penalty", "--frequency-penalty"},
    {"sampling.logit_bias", "--logit-bias"},
    {"sampling.min_p", "--min-p"},
    {"sampling.presence_penalty", "--presence-penalty"},
    {"sampling.repetition_penalty", "--repetition-penalty"},
    {"sampling.seed", "--seed"},
    {"sampling.temperature", "--temperature"},
    {"sampling.top_k", "--top-k"},
    {"sampling.top_p", "--top-p"},
    {"selection.layers", "--layer"},
    {"selection.heads", "--head"},
    {"selection.queries", "--query"},
    {"selection.keys", "--keys"},
    {"selection.pooled", "--pool"},
    {"selection.span_sums", "--spans"},
    {"selection.threshold", "--threshold"},
    {"selection.top_k", "--top-k"},
    {"stopping.max_tokens", "--max-tokens"},
    {"stopping.stop_ids", "--stop-id"},
    {"stopping.stop_texts", "--stop"},
    {"text", "the text"},
    {"token", "--token"},
    {"tokens", "--token"},
    {"ttl", "--ttl"},
    {"top_candidates", "--top"},
};

// "text 2" for the field "prompts[1]" and all that is in it, as `heed embed` numbers them.
std::string NumberedText(absl::string_view field) {
  int64_t index = 0;
  if (!absl::ConsumePrefix(&field, "prompts[") ||
      !absl::SimpleAtoi(field.substr(0, field.find(']')), &index)) {
    return "";
  }
  return absl::StrCat("text ", index + 1);
}

// Whether the field of that path is the one at `path` or in it.
bool IsWithin(absl::string_view field, absl::string_view path) {
  if (!absl::ConsumePrefix(&field, path)) return false;
  return field.empty() || field[0] == '.' || field[0] == '[';
}

// What was typed for the nearest field around this one, and which part of that it is.
std::string TypedFor(absl::string_view field, const FieldNames& names) {
  const auto* nearest = static_cast<const FieldNames::value_type*>(nullptr);
  for (const auto& name : names) {
    if (!IsWithin(field, name.first)) continue;
    if (nearest == nullptr || name.first.size() > nearest->first.size()) nearest = &name;
  }
  if (nearest == nullptr) return "";
  const absl::string_view part = field.substr(nearest->first.size());
  for (const auto& [path, word] : {std::pair{".layers", "layer"}, std::pair{".heads", "head"},
                                   std::pair{".positions", "position"}}) {
    if (IsWithin(part, path)) return absl::StrCat(nearest->second, ": ", word);
  }
  return nearest->second;
}

std::string Layout(absl::string_view message, const Terminal& terminal) {
  const int width = std::min(kWidth, TextWidth(terminal)) - DisplayWidth(kNextIndent);
  std::string result;
  for (absl::string_view paragraph : absl::StrSplit(message, '\n')) {
    for (const std::string& line : Wrap(paragraph, width)) {
      absl::StrAppend(&result, result.empty() ? kFirstIndent : kNextIndent, line, "\n");
    }
  }
  return result;
}

std::string MetadataOf(const ServerError& error, const std::string& key) {
  const auto it = error.metadata.find(key);
  return it == error.metadata.end() ? "" : it->second;
}

std::string ContextHint(const absl::Status& status, const ServerError& error) {
  int64_t tokens = 0;
  int64_t window = 0;
  // With room for generated tokens in it, how much would be dropped is for the server to say.
  if (absl::StrContains(status.message(), " with the ") ||
      !absl::SimpleAtoi(MetadataOf(error, "prompt_tokens"), &tokens) ||
      !absl::SimpleAtoi(MetadataOf(error, "context_window"), &window) || tokens <= window) {
    return "Shorten it, or add --truncate=left to keep its end.";
  }
  return absl::StrCat("Shorten it, or add --truncate=left to drop the first ", tokens - window,
                      ".");
}

// How heed traces open keeps a site, by the server's name for it; the residual stream is an option
// of its own.
std::string KeepHint(const std::string& site) {
  constexpr std::pair<absl::string_view, absl::string_view> kOptions[] = {
      {"residual", "--residual"},
      {"residual_mid", "--site=residual-mid"},
      {"attention_out", "--site=attention"},
      {"mlp_out", "--site=mlp"},
      {"mixed", "--site=mixed"}};
  for (const auto& [name, option] : kOptions) {
    if (site == name) return absl::StrCat("heed traces open PROMPT ", option, " keeps it.");
  }
  return "";
}

// What to type next, for the errors where that is known.
std::string Hint(const absl::Status& status, const ServerError& error, const std::string& server) {
  if (IsUsageError(status)) return "";
  if (IsConnectionError(status)) {
    return "Is heed-server running? Name another server with --server=HOST:PORT or HEED_SERVER.";
  }
  if (error.reason == "CONTEXT_WINDOW_EXCEEDED") return ContextHint(status, error);
  if (error.reason == "ATTENTION_BUDGET") {
    return "Choose with --layer, --head or --query, or keep the largest of each row with --top-k.";
  }
  if (error.reason == "SITE_NOT_KEPT") return KeepHint(MetadataOf(error, "site"));
  if (const std::string method = MetadataOf(error, "method"); method == "attention_norm") {
    return "Add --method=attention.";
  } else if (method == "residual_norm") {
    return "Add --method=residual.";
  }
  if (error.reason == "MODEL_NOT_FOUND" && !absl::StrContains(status.message(), "Loaded:")) {
    return "heed models lists what is loaded.";
  }
  if (absl::IsDeadlineExceeded(status)) return "Allow more time with --deadline, for example 60s.";
  if (absl::IsUnimplemented(status)) {
    return absl::StrCat("The server at ", server, " may be older than this command, or not heed.");
  }
  return "";
}

// The server's text for the fields that were wrong, each with the option that fills it here.
std::string WrongFields(const ServerError& error, const FieldNames& names) {
  std::vector<std::string> lines;
  for (const WrongField& wrong : error.wrong_fields) {
    const std::string option = OptionForField(wrong.field, names);
    // Some descriptions are whole sentences that begin with the field.
    absl::string_view description = wrong.description;
    if (absl::ConsumePrefix(&description, wrong.field)) {
      description = absl::StripLeadingAsciiWhitespace(description);
    }
    // The one description that says what to do with another field.
    const std::string text =
        absl::StrReplaceAll(description, {{"or set renormalize", "or add --renormalize"}});
    lines.push_back(option.empty() ? absl::StrCat(wrong.field, " ", text)
                                   : absl::StrCat(option, " ", text, " (", wrong.field, ")"));
  }
  return absl::StrJoin(lines, "\n");
}

// A quota of traces, its bytes as people read them; nothing can be closed where nothing is held.
std::string QuotaMessage(const absl::Status& status, const ServerError& error) {
  int64_t bytes[3] = {};
  const char* const keys[] = {"requested_bytes", "used_bytes", "limit_bytes"};
  for (size_t i = 0; i < std::size(keys); ++i) {
    const auto it = error.metadata.find(keys[i]);
    if (it == error.metadata.end() || !absl::SimpleAtoi(it->second, &bytes[i])) {
      return std::string(status.message());
    }
  }
  const auto [requested, used, limit] = bytes;
  if (used == 0) {
    return absl::StrCat("this would hold ", FormatBytes(requested), ", and at most ",
                        FormatBytes(limit), " may be held.\nShorten the prompt.");
  }
  const bool of_all = absl::StrContains(status.message(), "all clients' traces");
  return absl::StrCat("this would hold ", FormatBytes(requested), ", and ",
                      of_all ? "all clients' traces" : "your traces", " hold ", FormatBytes(used),
                      " of ", FormatBytes(limit),
                      ".\nClose traces, wait until some expire, or shorten the prompt.");
}

// Some messages begin with a field's path; where it is known what was typed for that, they name it.
std::string NameFirstField(absl::string_view message, const FieldNames& names) {
  const absl::string_view field = message.substr(0, message.find(' '));
  const std::string typed = TypedFor(field, names);
  if (typed.empty()) return std::string(message);
  return absl::StrCat(typed, message.substr(field.size()), " (", field, ")");
}

std::string Message(const absl::Status& status, const ServerError& error,
                    const FieldNames& names = {}) {
  if (!error.wrong_fields.empty()) return WrongFields(error, names);
  if (absl::IsDeadlineExceeded(status) && error.reason.empty()) return "no answer in time.";
  if (error.reason == "TRACE_QUOTA") return QuotaMessage(status, error);
  if (status.message().empty()) {
    return absl::StrCat("the call failed: ", absl::StatusCodeToString(status.code()));
  }
  return NameFirstField(status.message(), names);
}

bool EndsSentence(absl::string_view text) {
  return absl::EndsWith(text, ".") || absl::EndsWith(text, "?") || absl::EndsWith(text, "!");
}

}  // namespace

std::string OptionForField(absl::string_view field, const FieldNames& names) {
  if (const std::string text = NumberedText(field); !text.empty()) return text;
  if (const std::string typed = TypedFor(field, names); !typed.empty()) return typed;
  for (const auto& [path, option] : kFieldOptions) {
    if (IsWithin(field, path)) return std::string(option);
  }
  // A metric of a list is filled as the only one is.
  const size_t end = field.find(']');
  if (absl::StartsWith(field, "metrics[") && end != field.npos) {
    return OptionForField(absl::StrCat("metric", field.substr(end + 1)));
  }
  // An estimate has the call as a field.
  for (absl::string_view call :
       {"open_trace.", "get_attention.", "logit_lens.", "intervene.", "sweep.", "explain_row.",
        "get_head_stats.", "detect_heads.", "get_activations.", "attribute_logits.", "rollout.",
        "decompose_attention.", "compare.", "predict.", "generate.", "explore."}) {
    if (absl::ConsumePrefix(&field, call)) return OptionForField(field, names);
  }
  return "";
}

std::string FormatError(const absl::Status& status, const std::string& server, bool interrupted,
                        const Terminal& terminal, const FieldNames& names) {
  if (interrupted && absl::IsCancelled(status)) {
    return Layout("cancelled; the server was told to stop.", terminal);
  }
  const ServerError error = GetServerError(status);
  std::string message = Message(status, error, names);
  if (IsConnectionError(status) && !absl::StrContains(message, server)) {
    // What gRPC says of a connection that breaks in the middle of an answer.
    const bool is_lost = absl::StartsWith(message, "Socket closed");
    message = absl::StrCat(is_lost ? "lost" : "could not reach", " the server at ", server, ": ",
                           message);
  }
  if (!EndsSentence(message) && error.wrong_fields.empty()) message += ".";
  const std::string hint = Hint(status, error, server);
  if (!hint.empty()) absl::StrAppend(&message, "\n", hint);
  return SafeText(Layout(message, terminal));
}

std::string ErrorSummary(const absl::Status& status, const std::string& server) {
  const ServerError error = GetServerError(status);
  std::string text = Message(status, error);
  if (!EndsSentence(text)) text += ".";
  const std::string hint = Hint(status, error, server);
  if (!hint.empty()) absl::StrAppend(&text, " ", hint);
  return absl::StrReplaceAll(text, {{"\n", " "}});
}

void WriteErrorJson(JsonWriter& json, const absl::Status& status) {
  const ServerError error = GetServerError(status);
  json.BeginObject();
  json.Key("code").String(absl::StatusCodeToString(status.code()));
  json.Key("reason").String(error.reason);
  json.Key("message").String(status.message());
  json.Key("metadata").BeginObject();
  for (const auto& [key, value] : error.metadata) json.Key(key).String(value);
  json.EndObject();
  json.Key("wrong_fields").BeginArray();
  for (const WrongField& wrong : error.wrong_fields) {
    json.BeginObject();
    json.Key("field").String(wrong.field);
    json.Key("description").String(wrong.description);
    json.EndObject();
  }
  json.EndArray().EndObject();
}

std::string FormatErrorJson(const absl::Status& status) {
  std::ostringstream out;
  JsonWriter json(out);
  json.BeginObject().Key("error");
  WriteErrorJson(json, status);
  json.EndObject();
  json.EndLine();
  return out.str();
}

}  // namespace heed::cli
