// heed generate: the prompt, continued.
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/base/format.h"
#include "client/cli/base/progress.h"
#include "client/cli/request/edits.h"
#include "client/cli/request/estimate.h"
#include "client/cli/request/inspect_calls.h"
#include "client/cli/request/prompt.h"
#include "client/cli/request/traces.h"
#include "client/cli/verbs/generate_output.h"
#include "client/cli/verbs/verbs.h"
#include "client/convert.h"

namespace heed::cli {
namespace {

constexpr int32_t kDefaultAlternatives = 3;
constexpr int32_t kAttentionTopK = 4;  // kept of each head's row

absl::Status ReadFloat(const Arguments& arguments, const std::string& name,
                       std::optional<float>& field) {
  auto value = arguments.Float(name);
  if (!value.ok()) return value.status();
  field = *value;
  return absl::OkStatus();
}

absl::Status ReadInt32(const Arguments& arguments, const std::string& name,
                       std::optional<int32_t>& field) {
  auto value =
      arguments.Int(name, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max());
  if (!value.ok()) return value.status();
  if (*value) field = static_cast<int32_t>(**value);
  return absl::OkStatus();
}

// "ID=VALUE", where VALUE may be -inf.
absl::Status ReadLogitBias(const Arguments& arguments, GenerateRequest& request) {
  for (const std::string& text : arguments.Strings("logit-bias")) {
    const size_t equals = text.find('=');
    int32_t id = 0;
    float value = 0;
    if (equals == std::string::npos || !absl::SimpleAtoi(text.substr(0, equals), &id) ||
        !absl::SimpleAtof(text.substr(equals + 1), &value)) {
      return UsageError(absl::StrCat("--logit-bias is \"", text,
                                     "\"; expected ID=VALUE, for example 42=-5 or 42=-inf."));
    }
    request.logit_bias[id] = value;
  }
  return absl::OkStatus();
}

absl::Status ReadSampling(const Arguments& arguments, GenerateRequest& request) {
  const auto seed = arguments.Int("seed");
  if (!seed.ok()) return seed.status();
  request.seed = *seed;
  const std::pair<const char*, std::optional<float>*> floats[] = {
      {"temperature", &request.temperature},
      {"top-p", &request.top_p},
      {"min-p", &request.min_p},
      {"repetition-penalty", &request.repetition_penalty},
      {"presence-penalty", &request.presence_penalty},
      {"frequency-penalty", &request.frequency_penalty}};
  for (const auto& [name, field] : floats) {
    if (absl::Status status = ReadFloat(arguments, name, *field); !status.ok()) return status;
  }
  if (absl::Status status = ReadInt32(arguments, "top-k", request.top_k); !status.ok()) {
    return status;
  }
  return ReadLogitBias(arguments, request);
}

absl::Status ReadStopping(const Arguments& arguments, GenerateRequest& request) {
  if (absl::Status status = ReadInt32(arguments, "max-tokens", request.max_tokens); !status.ok()) {
    return status;
  }
  request.stop_texts = arguments.Strings("stop");
  request.ignore_end_of_text = arguments.Has("ignore-end-of-text");
  if (!arguments.Has("stop-id")) return absl::OkStatus();
  auto ids = arguments.Ints("stop-id");
  if (!ids.ok()) return ids.status();
  request.stop_ids = *std::move(ids);
  return absl::OkStatus();
}

absl::Status ReadReporting(const Arguments& arguments, GenerateRequest& request) {
  std::optional<int32_t> top;
  if (absl::Status status = ReadInt32(arguments, "top", top); !status.ok()) return status;
  if (top && !arguments.Has("logprobs")) return UsageError("--top needs --logprobs.");
  if (arguments.Has("logprobs")) request.top_candidates = top.value_or(kDefaultAlternatives);
  if (!arguments.Has("attention")) {
    if (arguments.Has("layer") || arguments.Has("head")) {
      return UsageError("--layer and --head need --attention.");
    }
    return absl::OkStatus();
  }
  request.attention = AttentionSelection{.top_k = kAttentionTopK};
  for (const auto& [name, field] : {std::pair{"layer", &request.attention->layers},
                                    std::pair{"head", &request.attention->heads}}) {
    if (!arguments.Has(name)) continue;
    auto indices = arguments.Ints(name);
    if (!indices.ok()) return indices.status();
    *field = *std::move(indices);
  }
  return absl::OkStatus();
}

absl::StatusOr<GenerateRequest> ReadRequest(const Arguments& arguments, Session& session) {
  GenerateRequest request{.model = session.model()};
  const auto prompt = ReadPrompt(arguments, session);
  if (!prompt.ok()) return prompt.status();
  prompt->ApplyTo(request);
  for (auto* read : {ReadSampling, ReadStopping, ReadReporting}) {
    if (absl::Status status = read(arguments, request); !status.ok()) return status;
  }
  return request;
}

// The request with what plain structs do not have: edits, and what to keep.
absl::StatusOr<v1::GenerateRequest> ReadWireRequest(const Arguments& arguments, Session& session) {
  const auto request = ReadRequest(arguments, session);
  if (!request.ok()) return request.status();
  auto wire = ToWire(*request);
  if (!wire.ok()) return wire.status();
  RunSource source = RunSource::OfPrompt(wire->prompt(), request->model, session);
  const auto edits = ReadEdits(arguments, source);
  if (!edits.ok()) return edits.status();
  AddEdits(*edits, "interventions", session, wire->mutable_interventions());
  if (arguments.Has("keep-trace")) {
    if (absl::Status s = ReadKeep(arguments, wire->mutable_keep_trace()); !s.ok()) return s;
    return wire;
  }
  for (const OptionSpec& option : KeepOptions()) {
    if (arguments.Has(option.name)) {
      return UsageError(absl::StrCat("--", option.name, " needs --keep-trace."));
    }
  }
  return wire;
}

absl::Status RunGenerate(const Arguments& arguments, Session& session) {
  const auto request = ReadWireRequest(arguments, session);
  if (!request.ok()) return request.status();
  if (arguments.Has("estimate")) return PrintEstimate(*request, session);
  const auto inspector = MakeInspector(session);
  if (!inspector.ok()) return inspector.status();
  const GenerateFormat format{.json = session.json(),
                              .log_probabilities = arguments.Has("logprobs"),
                              .attention = arguments.Has("attention")};
  GenerateOutput output(session, format);
  Progress progress(session, "waiting for the first token");
  // The start is shown together with what follows it: until then the terminal's line belongs to the
  // progress.
  std::optional<GenerateEvent> start;
  absl::Status broken;
  const auto on_message = [&](const v1::GenerateResponse& message) {
    if (!broken.ok()) return;
    auto event = FromWire(message);
    broken = event.status();
    if (!broken.ok()) return;
    if (std::holds_alternative<GenerateStart>(*event)) {
      start = *std::move(event);
      return;
    }
    progress.Stop();
    if (start) output.Show(*std::exchange(start, std::nullopt));
    output.Show(*event);
    if (message.end().has_trace()) output.ShowTrace(message.end().trace());
  };
  absl::Status status = inspector->Generate(*request, on_message, session.call_options());
  progress.Stop();
  if (start) output.Show(*start);
  if (status.ok()) status = broken;
  if (!status.ok()) output.BreakOff();
  return status;
}

std::vector<OptionSpec> GenerateOptions() {
  std::vector<OptionSpec> options = {
      {"max-tokens", "N", "Generate at most N tokens; default 128."},
      {"temperature", "T", "Divide the logits by T; 0, the default, always takes the best token."},
      {"top-k", "K", "Draw from the K most probable tokens."},
      {"top-p", "P", "Draw from the most probable tokens that together have probability P."},
      {"min-p", "P", "Draw from tokens at least P times as probable as the best."},
      {"repetition-penalty", "X", "Divide the logits of tokens that were there already; 1 is off."},
      {"presence-penalty", "X", "Subtract X from the logits of tokens already in the answer."},
      {"frequency-penalty", "X", "Subtract X for each time a token stands in the answer."},
      {"seed", "N", "Draw the same tokens each time."},
      {"logit-bias", "ID=VALUE", "Add VALUE to the logit of token ID; -inf forbids it.",
       /*repeatable=*/true},
      {"stop", "TEXT", "Stop before TEXT.", /*repeatable=*/true},
      {"stop-id", "ID", "Stop at token ID.", /*repeatable=*/true},
      {"ignore-end-of-text", "", "Go on past the model's own end of text."},
      {"logprobs", "", "Show each token with its probability, rank and alternatives."},
      {"top", "K", "Alternatives beside each token with --logprobs; default 3."},
      {"attention", "",
       "Show for each token which earlier ones it was predicted from. Left out are the first word "
       "and the row's own, which heads with nothing to say look at."},
      {"layer", "L", "Layers to look at with --attention; default all.", /*repeatable=*/true},
      {"head", "H", "Heads to look at with --attention; default all.", /*repeatable=*/true},
  };
  options.push_back(
      {"keep-trace", "", "Keep prompt and answer as a trace, to be read with --trace."});
  options.push_back(EstimateOption());
  return JoinOptions({options, KeepOptions(), EditOptions(), EditScopeOptions(), PromptOptions()});
}

}  // namespace

Verb GenerateVerb() {
  return {
      .name = "generate",
      .operands = "PROMPT",
      .max_operands = 1,
      .summary = "Continue a text token by token.",
      .description =
          "PROMPT is the text, or - for standard input. On a terminal the prompt is shown, dim, "
          "before the answer; elsewhere only the answer is written. Why it ended and how fast "
          "it went is on standard error.",
      .example =
          "heed generate \"the keys to the cabinet\" --max-tokens=30 --temperature=0.8 "
          "--seed=1",
      .options = GenerateOptions(),
      .run = RunGenerate};
}

}  // namespace heed::cli
