// heed models, heed describe: what is loaded, or could be.
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/base/format.h"
#include "client/cli/base/json_parts.h"
#include "client/cli/base/progress.h"
#include "client/cli/base/table.h"
#include "client/cli/base/token_text.h"
#include "client/cli/verbs/describe_path.h"
#include "client/cli/verbs/verbs.h"

namespace heed::cli {
namespace {

void WriteTokenizer(JsonWriter& json, const TokenizerInfo& tokenizer) {
  json.BeginObject();
  json.Key("kind").String(tokenizer.kind);
  json.Key("vocabulary_size").Int(tokenizer.vocabulary_size);
  json.Key("added_special_token_count").Int(tokenizer.added_special_token_count);
  json.Key("end_of_text_ids");
  WriteInts(json, tokenizer.end_of_text_ids);
  json.Key("mask_id");
  tokenizer.mask_id ? json.Int(*tokenizer.mask_id) : json.Null();
  json.Key("mask_text").String(tokenizer.mask_text);
  json.EndObject();
}

void WriteModel(JsonWriter& json, const ModelInfo& model) {
  json.BeginObject();
  json.Key("identity");
  WriteIdentity(json, model.identity);
  json.Key("architecture").String(model.architecture);
  json.Key("direction").String(Name(model.direction));
  json.Key("mixing").String(Name(model.mixing));
  json.Key("parameter_count").Int(model.parameter_count);
  json.Key("layer_count").Int(model.layer_count);
  json.Key("head_count").Int(model.head_count);
  json.Key("kv_head_count").Int(model.kv_head_count);
  json.Key("head_dim").Int(model.head_dim);
  json.Key("hidden_size").Int(model.hidden_size);
  json.Key("feed_forward_size").Int(model.feed_forward_size);
  json.Key("vocabulary_size").Int(model.vocabulary_size);
  json.Key("context_window").Int(model.context_window);
  json.Key("checkpoint_dtype").String(model.checkpoint_dtype);
  json.Key("compute_dtype").String(model.compute_dtype);
  json.Key("kv_cache_dtype").String(model.kv_cache_dtype);
  json.Key("weight_bytes").Int(model.weight_bytes);
  json.Key("tokenizer");
  WriteTokenizer(json, model.tokenizer);
  json.Key("capabilities").BeginArray();
  for (Capability capability : model.capabilities) json.String(Name(capability));
  json.EndArray().EndObject();
}

absl::Status RunModels(const Arguments&, Session& session) {
  auto client = session.client();
  if (!client.ok()) return client.status();
  const auto models = (*client)->ListModels(session.call_options());
  if (!models.ok()) return models.status();
  if (session.json()) {
    JsonWriter json(session.out());
    json.BeginObject().Key("models").BeginArray();
    for (const ModelInfo& model : *models) WriteModel(json, model);
    json.EndArray().EndObject();
    json.EndLine();
    return absl::OkStatus();
  }
  Table table({{"model", Align::kLeft, 0, Narrow::kKeep},
               {"architecture", Align::kLeft, 2},
               {"looks", Align::kLeft, 1},
               {"parameters", Align::kRight},
               {"layers", Align::kRight, 3},
               {"heads", Align::kRight, 4},
               {"context", Align::kRight, 5},
               {"weights", Align::kLeft, 6},
               {"cache", Align::kLeft, 7},
               {"digest", Align::kLeft, 8}});
  for (const ModelInfo& model : *models) {
    table.AddRow({SafeText(model.identity.name), SafeText(model.architecture),
                  Name(model.direction), FormatCount(model.parameter_count),
                  absl::StrCat(model.layer_count), absl::StrCat(model.head_count),
                  FormatCount(model.context_window), SafeText(model.compute_dtype),
                  SafeText(model.kv_cache_dtype), SafeText(ShortDigest(model.identity.digest))});
  }
  session.out() << table.Render(session.terminal());
  return absl::OkStatus();
}

std::string HeadsText(const ModelInfo& model) {
  std::string text = absl::StrCat(model.head_count, " of ", model.head_dim, " dimensions");
  if (model.kv_head_count != model.head_count) {
    absl::StrAppend(&text, ", sharing ", Plural(model.kv_head_count, "key-value head"));
  }
  return text;
}

std::string TokenizerText(const TokenizerInfo& tokenizer) {
  if (tokenizer.kind.empty()) return "none: token ids only";
  std::string text =
      absl::StrCat(SafeText(tokenizer.kind), ", ", Plural(tokenizer.vocabulary_size, "token"));
  if (tokenizer.added_special_token_count > 0) {
    absl::StrAppend(&text, ", adds ", Plural(tokenizer.added_special_token_count, "special token"),
                    " to a text");
  }
  return text;
}

const char* DirectionText(AttentionDirection direction) {
  switch (direction) {
    case AttentionDirection::kCausal:
      return "causal: each position sees itself and earlier ones, and predicts the next token";
    case AttentionDirection::kBidirectional:
      return "bidirectional: each position sees all, and predicts the token at its own place";
    case AttentionDirection::kUnknown:
      break;
  }
  return "unknown to this version of heed";
}

const char* MixingText(Mixing mixing) {
  switch (mixing) {
    case Mixing::kAttention:
      return "attention: weights computed from queries and keys";
    case Mixing::kLastWord:
      return "last word: all the weight on the position itself";
    case Mixing::kAverage:
      return "average: the same weight on every position";
    case Mixing::kWeighted:
      return "weighted: one learned score for each word";
    case Mixing::kUnknown:
      break;
  }
  return "unknown to this version of heed";
}

std::string WidthText(const ModelInfo& model) {
  if (model.feed_forward_size == 0) {
    return absl::StrCat(model.hidden_size, ", no feed-forward layer");
  }
  return absl::StrCat(model.hidden_size, ", feed-forward ", model.feed_forward_size);
}

std::string CapabilitiesText(const ModelInfo& model) {
  return absl::StrJoin(model.capabilities, ", ", [](std::string* out, Capability capability) {
    out->append(Name(capability));
  });
}

void PrintModel(const ModelInfo& model, Session& session) {
  Table table({{"", Align::kLeft, 0, Narrow::kKeep}, {"", Align::kLeft, 0, Narrow::kWrap}});
  table.AddRow({"name", SafeText(model.identity.name)});
  table.AddRow({"architecture", SafeText(model.architecture)});
  table.AddRow({"attention", DirectionText(model.direction)});
  table.AddRow({"mixing", MixingText(model.mixing)});
  table.AddRow({"parameters", FormatCount(model.parameter_count)});
  table.AddRow({"layers", absl::StrCat(model.layer_count)});
  table.AddRow({"heads a layer", HeadsText(model)});
  table.AddRow({"width", WidthText(model)});
  table.AddRow({"vocabulary", FormatCount(model.vocabulary_size)});
  table.AddRow({"context window", Plural(model.context_window, "token")});
  table.AddRow({"weights",
                absl::StrCat(FormatBytes(model.weight_bytes), " as ", SafeText(model.compute_dtype),
                             ", stored as ", SafeText(model.checkpoint_dtype))});
  if (!model.kv_cache_dtype.empty()) {
    table.AddRow({"KV cache", absl::StrCat("as ", SafeText(model.kv_cache_dtype))});
  }
  table.AddRow({"tokenizer", TokenizerText(model.tokenizer)});
  if (!model.tokenizer.end_of_text_ids.empty()) {
    table.AddRow(
        {"end of text",
         absl::StrCat("token ids ", absl::StrJoin(model.tokenizer.end_of_text_ids, ", "))});
  }
  if (model.tokenizer.mask_id) {
    table.AddRow({"mask", absl::StrCat(SafeText(model.tokenizer.mask_text), ", token id ",
                                       *model.tokenizer.mask_id)});
  }
  table.AddRow({"can", CapabilitiesText(model)});
  table.AddRow({"digest", SafeText(model.identity.digest)});
  session.out() << table.Render(session.terminal());
}

// Nobody serves a model of the name that was asked for.
bool IsNotServed(const absl::Status& status) {
  return absl::IsNotFound(status) || IsConnectionError(status);
}

absl::StatusOr<ModelInfo> GetModel(const std::string& name, Session& session) {
  auto client = session.client();
  if (!client.ok()) return client.status();
  return (*client)->GetModel(name, session.call_options());
}

absl::Status RunDescribe(const Arguments& arguments, Session& session) {
  if (!arguments.positionals().empty() && !session.model().empty()) {
    return UsageError("both MODEL and --model are given; give one of them.");
  }
  if (!arguments.positionals().empty() && IsPlainlyAPath(arguments.positionals().front())) {
    return DescribePath(arguments.positionals().front(), session.json());
  }
  const std::string name =
      arguments.positionals().empty() ? session.model() : arguments.positionals().front();
  const auto model = GetModel(name, session);
  if (IsNotServed(model.status()) && !arguments.positionals().empty() && ExistsOnDisk(name)) {
    return DescribePath(name, session.json());
  }
  if (!model.ok()) return model.status();
  if (session.json()) {
    JsonWriter json(session.out());
    WriteModel(json, *model);
    json.EndLine();
  } else {
    PrintModel(*model, session);
  }
  return absl::OkStatus();
}

}  // namespace

Verb ModelsVerb() {
  return {.name = "models",
          .summary = "List the models that the server has loaded.",
          .description = "The first one is the default, which is asked when --model is not given.",
          .example = "heed models",
          .run = RunModels};
}

Verb DescribeVerb() {
  return {.name = "describe",
          .operands = "[MODEL | PATH]",
          .max_operands = 1,
          .summary = "Show the facts about a model: sizes, tokenizer, digest.",
          .description =
              "With the path of a folder or file, says without a server and without loading it "
              "what is in it, what serving it takes, and what heed refuses: exit code 1 if it "
              "refuses it. What has a / or ends in .gguf or .safetensors is a path, and so is "
              "what is there and is no served model's name.",
          .example = "heed describe",
          .run = RunDescribe};
}

}  // namespace heed::cli
