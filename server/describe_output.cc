// How a description of a model reads, for people and for programs.
#include <algorithm>
#include <iterator>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "model/base/error.h"
#include "model/base/json.h"
#include "model/base/layer_names.h"
#include "server/config.h"
#include "server/describe_model.h"
#include "server/wrap.h"

namespace heed {
namespace {

// As many of a list as a person reads; programs get all.
constexpr size_t kMostProblems = 8;
constexpr size_t kMostNames = 6;

// "1.23 GB": in powers of ten, as disks are sold.
std::string Size(int64_t bytes) {
  constexpr absl::string_view kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB"};
  auto size = static_cast<double>(bytes);
  size_t unit = 0;
  for (; size >= 999.5 && unit + 1 < std::size(kUnits); ++unit) size /= 1000;
  return absl::StrFormat("%.3g %s", size, kUnits[unit]);
}

// "1,234,567".
std::string Grouped(int64_t number) {
  std::string digits = absl::StrCat(number);
  for (int64_t at = static_cast<int64_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<size_t>(at), 1, ',');
  }
  return digits;
}

std::string Plural(int64_t count, absl::string_view noun) {
  return absl::StrCat(Grouped(count), " ", noun, count == 1 ? "" : "s");
}

// A file chose the text, so nothing but printable characters goes to a terminal as it is.
std::string Plain(const std::string& text) {
  return std::all_of(text.begin(), text.end(), absl::ascii_isprint) ? text : Quoted(text);
}

std::string InType(KvType type) {
  return type == KvType::kF32 ? "" : absl::StrCat(" in ", KvTypeName(type));
}

absl::string_view PoolingName(PoolingKind kind) {
  switch (kind) {
    case PoolingKind::kMean:
      return "mean";
    case PoolingKind::kFirst:
      return "cls";
    case PoolingKind::kLast:
      break;
  }
  return "last";
}

absl::string_view FormatName(const ModelDescription& description) {
  return description.files.is_gguf ? "GGUF" : "safetensors";
}

// Facts, each behind its label, in lines of at most `width` columns.
class FactLines {
 public:
  explicit FactLines(size_t width) : width_(width) {}

  void Add(absl::string_view label, absl::string_view fact) {
    absl::StrAppend(&text_, Wrapped(absl::StrFormat("%-13s", label), fact, width_));
  }
  const std::string& text() const { return text_; }

 private:
  size_t width_;
  std::string text_;
};

void AddSizes(const ModelDescription& description, FactLines* out) {
  const ModelConfig& config = *description.config;
  std::string heads = Plural(config.n_heads, "head");
  if (config.n_kv_heads != config.n_heads) {
    absl::StrAppend(&heads, " on ", Plural(config.n_kv_heads, "key head"));
  }
  out->Add("layers", absl::StrCat(Plural(config.n_layers, "layer"), " of ", heads, " of ",
                                  config.head_dim, ", width ", Grouped(config.width),
                                  ", feed-forward ", Grouped(config.ffn_width)));
  out->Add("vocabulary", absl::StrCat(Plural(config.vocab_size, "row"),
                                      !config.has_head ? ", no head: embeddings, but no predictions"
                                      : config.tied_embeddings ? ", also the unembedding"
                                                               : ""));
  out->Add("context", absl::StrCat(Plural(config.context_window, "token"), ", ",
                                   config.causal ? "causal" : "bidirectional"));
  const int64_t cache = description.cache_bytes_per_token();
  out->Add("memory",
           absl::StrCat(Size(description.weight_memory_bytes), " of weights, ", Size(cache),
                        " of keys and values", InType(config.kv_type), " per token, ",
                        Size(cache * config.context_window), " for a whole context"));
}

void AddExtra(const ModelDescription& description, TensorRole role, absl::string_view what,
              FactLines* out) {
  std::vector<std::string> names;
  for (const ExtraTensor& tensor : description.extra) {
    if (tensor.role == role) names.push_back(tensor.name);
  }
  if (names.empty()) return;
  out->Add("besides", absl::StrCat(Plural(static_cast<int64_t>(names.size()), "tensor"), " ", what,
                                   ": ", SomeNames(names)));
}

std::string TokenizerText(const ModelDescription& description) {
  if (description.files.tokenizer.empty()) return "none: token ids only";
  if (description.tokenizer_kind.empty()) return description.files.tokenizer;
  return absl::StrCat(description.tokenizer_kind, ", ",
                      Plural(description.tokenizer_tokens, "token"), ", from ",
                      description.files.tokenizer);
}

void AddVerdict(const ModelDescription& description, FactLines* out) {
  if (description.servable()) {
    out->Add("heed", "can serve it");
    return;
  }
  const std::vector<absl::Status>& problems = description.problems;
  for (size_t i = 0; i < problems.size() && i < kMostProblems; ++i) {
    out->Add(i == 0 ? "heed" : "",
             absl::StrCat(i == 0 ? "refuses it: " : "and: ", problems[i].message()));
  }
  if (problems.size() > kMostProblems) {
    out->Add("", absl::StrCat("and ", problems.size() - kMostProblems, " more such reasons"));
  }
}

// One object or list of JSON, its members in order.
class JsonMembers {
 public:
  JsonMembers& Raw(absl::string_view key, absl::string_view json) {
    absl::StrAppend(&text_, text_.empty() ? "" : ",", QuoteJson(key), ":", json);
    return *this;
  }
  JsonMembers& Text(absl::string_view key, absl::string_view text) {
    return Raw(key, QuoteJson(text));
  }
  JsonMembers& TextOrNull(absl::string_view key, absl::string_view text) {
    return text.empty() ? Raw(key, "null") : Text(key, text);
  }
  JsonMembers& Int(absl::string_view key, int64_t number) { return Raw(key, absl::StrCat(number)); }
  JsonMembers& Bool(absl::string_view key, bool value) {
    return Raw(key, value ? "true" : "false");
  }
  std::string Object() const { return absl::StrCat("{", text_, "}"); }

 private:
  std::string text_;
};

template <typename Items, typename ToJson>
std::string JsonList(const Items& items, ToJson to_json) {
  return absl::StrCat(
      "[",
      absl::StrJoin(items, ",", [&](std::string* out, const auto& i) { out->append(to_json(i)); }),
      "]");
}

std::string ShareJson(const StoredShare& share) {
  return JsonMembers()
      .Text("dtype", share.dtype)
      .Int("tensor_count", share.tensors)
      .Int("value_count", share.values)
      .Int("bytes", share.bytes)
      .Object();
}

absl::string_view RoleName(TensorRole role) {
  switch (role) {
    case TensorRole::kParameter:
      return "parameter";
    case TensorRole::kTiedCopy:
      return "tied_copy";
    case TensorRole::kBuffer:
      return "buffer";
    case TensorRole::kUnused:
      break;
  }
  return "unused";
}

std::string ExtraJson(const ExtraTensor& tensor) {
  return JsonMembers().Text("name", tensor.name).Text("role", RoleName(tensor.role)).Object();
}

std::string ProblemJson(const absl::Status& problem) {
  return JsonMembers()
      .Text("code", absl::StatusCodeToString(problem.code()))
      .TextOrNull("reason", GetErrorDetails(problem).reason)
      .Text("message", problem.message())
      .Object();
}

std::string ModelJson(const ModelDescription& description) {
  const ModelConfig& config = *description.config;
  return JsonMembers()
      .Int("layer_count", config.n_layers)
      .Int("head_count", config.n_heads)
      .Int("kv_head_count", config.n_kv_heads)
      .Int("head_dim", config.head_dim)
      .Int("hidden_size", config.width)
      .Int("feed_forward_size", config.ffn_width)
      .Int("vocabulary_size", config.vocab_size)
      .Int("context_window", config.context_window)
      .Bool("causal", config.causal)
      .Bool("tied_embeddings", config.tied_embeddings)
      .Bool("has_head", config.has_head)
      .Object();
}

std::string MemoryJson(const ModelDescription& description) {
  const int64_t cache = description.cache_bytes_per_token();
  return JsonMembers()
      .Int("weight_bytes", description.weight_memory_bytes)
      .Int("cache_bytes_per_token", cache)
      .Text("cache_type", KvTypeName(description.config->kv_type))
      .Int("cache_bytes", cache * description.config->context_window)
      .Object();
}

std::string PoolingJson(const PoolingConfig& pooling) {
  return JsonMembers()
      .Text("kind", PoolingName(pooling.kind))
      .Bool("normalize", pooling.normalize)
      .Object();
}

std::string TokenizerJson(const ModelDescription& description) {
  if (description.files.tokenizer.empty()) return "null";
  return JsonMembers()
      .TextOrNull("kind", description.tokenizer_kind)
      .Int("token_count", description.tokenizer_tokens)
      .Text("source", description.files.tokenizer)
      .Object();
}

}  // namespace

std::string SomeNames(const std::vector<std::string>& names) {
  const size_t shown = names.size() > kMostNames ? kMostNames : names.size();
  std::string text = absl::StrJoin(
      names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", ",
      [](std::string* out, const std::string& name) { absl::StrAppend(out, Quoted(name)); });
  if (shown < names.size()) absl::StrAppend(&text, " and ", names.size() - shown, " more");
  return text;
}

std::string DescriptionText(const ModelDescription& description, size_t width) {
  FactLines facts(width);
  facts.Add("format", absl::StrCat(FormatName(description), ", ",
                                   Plural(description.files.weight_files, "file"), " of ",
                                   Size(description.files.weight_file_bytes)));
  const std::string& architecture = description.files.architecture;
  facts.Add("architecture", architecture.empty() ? "not named" : Plain(architecture));
  facts.Add("parameters", absl::StrCat(Grouped(description.values()), " in ",
                                       Plural(description.tensors(), "tensor")));
  for (const StoredShare& share : description.stored) {
    facts.Add(absl::StrCat("  ", share.dtype),
              absl::StrCat(Grouped(share.values), " in ", Plural(share.tensors, "tensor"), ", ",
                           Size(share.bytes)));
  }
  AddExtra(description, TensorRole::kTiedCopy, "with the embedding again, counted once", &facts);
  AddExtra(description, TensorRole::kBuffer, "that the configuration makes known", &facts);
  AddExtra(description, TensorRole::kUnused, "that heed does not use", &facts);
  facts.Add("tokenizer", TokenizerText(description));
  if (description.config) AddSizes(description, &facts);
  if (description.pooling) {
    facts.Add("embeddings",
              absl::StrCat("of a text: ", PoolingName(description.pooling->kind), " of its tokens",
                           description.pooling->normalize ? ", normalized" : ""));
  }
  AddVerdict(description, &facts);
  return facts.text();
}

std::string DescriptionJson(const ModelDescription& description) {
  JsonMembers json;
  json.Text("format", FormatName(description))
      .Int("file_count", description.files.weight_files)
      .Int("file_bytes", description.files.weight_file_bytes)
      .TextOrNull("architecture", description.files.architecture)
      .Int("parameter_count", description.values())
      .Int("tensor_count", description.tensors())
      .Raw("stored", JsonList(description.stored, ShareJson))
      .Raw("extra_tensors", JsonList(description.extra, ExtraJson))
      .Raw("tokenizer", TokenizerJson(description))
      .Raw("model", description.config ? ModelJson(description) : "null")
      .Raw("memory", description.config ? MemoryJson(description) : "null")
      .Raw("pooling", description.pooling ? PoolingJson(*description.pooling) : "null")
      .Bool("servable", description.servable())
      .Raw("problems", JsonList(description.problems, ProblemJson));
  return json.Object() + "\n";
}

}  // namespace heed
