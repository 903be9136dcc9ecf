#include "model/checkpoint/gguf_tokenizer_reader.h"

#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/errors.h"

namespace heed {
namespace {

class Reader {
 public:
  Reader(const GgufHeader& header, int64_t vocab_size) : header_(header), vocab_size_(vocab_size) {}

  std::optional<GgufValue> Find(absl::string_view key) const {
    return header_.Find(absl::StrCat("tokenizer.ggml.", key));
  }

  absl::Status Text(absl::string_view key, std::string* out) const {
    const std::optional<GgufValue> value = Find(key);
    if (!value) return absl::OkStatus();
    HEED_ASSIGN_OR_RETURN(const absl::string_view text, value->String());
    *out = std::string(text);
    return absl::OkStatus();
  }

  absl::Status Texts(absl::string_view key, std::vector<std::string>* out) const {
    const std::optional<GgufValue> value = Find(key);
    if (!value) return absl::OkStatus();
    HEED_ASSIGN_OR_RETURN(const std::vector<absl::string_view> texts, value->Strings());
    out->reserve(texts.size());
    for (const absl::string_view text : texts) out->emplace_back(text);
    return absl::OkStatus();
  }

  absl::Status Scores(std::vector<float>* out) const {
    const std::optional<GgufValue> value = Find("scores");
    if (!value) return absl::OkStatus();
    HEED_RETURN_IF_ERROR(CheckSize(*value));
    HEED_ASSIGN_OR_RETURN(*out, value->Floats());
    return absl::OkStatus();
  }

  absl::Status Types(std::vector<int32_t>* out) const {
    const std::optional<GgufValue> value = Find("token_type");
    if (!value) return absl::OkStatus();
    HEED_RETURN_IF_ERROR(CheckSize(*value));
    HEED_ASSIGN_OR_RETURN(const std::vector<int64_t> types,
                          value->Ints({0, std::numeric_limits<int32_t>::max()}));
    out->assign(types.begin(), types.end());
    return absl::OkStatus();
  }

  absl::Status Id(absl::string_view key, std::optional<int64_t>* out) const {
    const std::optional<GgufValue> value = Find(key);
    if (!value) return absl::OkStatus();
    HEED_ASSIGN_OR_RETURN(*out, value->Int({-1, UINT32_MAX}));
    return absl::OkStatus();
  }

  absl::Status Flag(absl::string_view key, std::optional<bool>* out) const {
    const std::optional<GgufValue> value = Find(key);
    if (!value) return absl::OkStatus();
    HEED_ASSIGN_OR_RETURN(*out, value->Bool());
    return absl::OkStatus();
  }

  // A list by id has one element for each token.
  absl::Status CheckSize(const GgufValue& value) const {
    if (value.IsArray() && value.size() == vocab_size_) return absl::OkStatus();
    return value.Unexpected(
        absl::StrCat("an array of ", vocab_size_, " elements, one for each embedding row"));
  }

 private:
  const GgufHeader& header_;
  const int64_t vocab_size_;
};

// A list of bytes, which older converters wrote as i8.
absl::Status ReadCharsmap(const Reader& reader, std::string* out) {
  const std::optional<GgufValue> value = reader.Find("precompiled_charsmap");
  if (!value) return absl::OkStatus();
  HEED_ASSIGN_OR_RETURN(const std::vector<int64_t> bytes, value->Ints({-128, 255}));
  for (const int64_t byte : bytes) out->push_back(static_cast<char>(byte));
  return absl::OkStatus();
}

absl::Status ReadIds(const Reader& reader, GgufTokenizerFacts& facts) {
  HEED_RETURN_IF_ERROR(reader.Id("bos_token_id", &facts.bos_token_id));
  HEED_RETURN_IF_ERROR(reader.Id("eos_token_id", &facts.eos_token_id));
  HEED_RETURN_IF_ERROR(reader.Id("unknown_token_id", &facts.unknown_token_id));
  HEED_RETURN_IF_ERROR(reader.Id("separator_token_id", &facts.separator_token_id));
  // As llama.cpp has spelled it from the beginning.
  HEED_RETURN_IF_ERROR(reader.Id("seperator_token_id", &facts.separator_token_id));
  HEED_RETURN_IF_ERROR(reader.Id("padding_token_id", &facts.padding_token_id));
  HEED_RETURN_IF_ERROR(reader.Id("cls_token_id", &facts.cls_token_id));
  return reader.Id("mask_token_id", &facts.mask_token_id);
}

absl::Status ReadFlags(const Reader& reader, GgufTokenizerFacts& facts) {
  HEED_RETURN_IF_ERROR(reader.Flag("add_bos_token", &facts.add_bos_token));
  HEED_RETURN_IF_ERROR(reader.Flag("add_eos_token", &facts.add_eos_token));
  HEED_RETURN_IF_ERROR(reader.Flag("add_space_prefix", &facts.add_space_prefix));
  return reader.Flag("remove_extra_whitespaces", &facts.remove_extra_whitespaces);
}

}  // namespace

absl::StatusOr<std::optional<GgufTokenizerFacts>> ReadGgufTokenizer(const GgufHeader& header,
                                                                    int64_t vocab_size) {
  const Reader reader(header, vocab_size);
  GgufTokenizerFacts facts;
  HEED_RETURN_IF_ERROR(reader.Text("model", &facts.model));
  // "no_vocab" is llama.cpp's name for a model without a tokenizer.
  if (facts.model.empty() || facts.model == "no_vocab") return std::nullopt;
  const std::optional<GgufValue> tokens = reader.Find("tokens");
  if (!tokens) return std::nullopt;
  HEED_RETURN_IF_ERROR(reader.CheckSize(*tokens));
  HEED_RETURN_IF_ERROR(reader.Texts("tokens", &facts.tokens));
  HEED_RETURN_IF_ERROR(reader.Text("pre", &facts.pre));
  HEED_RETURN_IF_ERROR(reader.Scores(&facts.scores));
  HEED_RETURN_IF_ERROR(reader.Types(&facts.token_types));
  HEED_RETURN_IF_ERROR(reader.Texts("merges", &facts.merges));
  HEED_RETURN_IF_ERROR(ReadCharsmap(reader, &facts.precompiled_charsmap));
  HEED_RETURN_IF_ERROR(ReadIds(reader, facts));
  HEED_RETURN_IF_ERROR(ReadFlags(reader, facts));
  return facts;
}

}  // namespace heed
