#include "model/tokenizer/decoder.h"

#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/base/utf8.h"
#include "model/tokenizer/decoder_steps.h"

namespace heed {

// Reads steps one after another. Fuse and ByteLevel make all tokens one: what follows sees the text
// as a whole. Steps at its beginning can go on as the text comes; others must wait for its end.
class DecoderParser {
 public:
  absl::Status Parse(const JsonValue& json) {
    HEED_ASSIGN_OR_RETURN(const absl::string_view type, json.StringAt("type"));
    if (type == "Sequence") return ParseSequence(json);
    if (decoder_.steps_.size() == kMaxSteps) {
      return json.Unsupported(
          absl::StrCat("heed has no decoders of more than ", kMaxSteps, " steps"));
    }
    if (type == "Fuse") return Fuse();
    if (type == "Strip") return ParseStrip(json);
    CollectIfFused();
    if (type == "ByteLevel") return ParseByteLevel();
    if (type == "WordPiece") return ParseWordPiece(json);
    if (type == "Metaspace") return ParseMetaspace(json);
    if (type == "BPEDecoder") return ParseBpe(json);
    if (type == "ByteFallback") return Add(NewByteFallbackStep());
    if (type == "Replace") return ParseReplace(json);
    if (type == "CTC") return ParseCtc(json);
    return json.Unsupported(absl::StrCat("heed has no decoder ", Quoted(type)));
  }

  absl::Status ParseNone() { return Add(NewSeparatorStep(" ")); }

  Decoder Take() { return std::move(decoder_); }

 private:
  static constexpr size_t kMaxSteps = 64;

  absl::Status Add(std::unique_ptr<DecoderStep> step) {
    decoder_.steps_.push_back(std::move(step));
    return absl::OkStatus();
  }

  absl::Status Fuse() {
    fused_ = fused_ || !collected_;
    return absl::OkStatus();
  }

  // From here on there is one token.
  void CollectIfFused() {
    if (!fused_) return;
    decoder_.steps_.push_back(NewCollectStep());
    fused_ = false;
    collected_ = true;
  }

  absl::Status ParseSequence(const JsonValue& json) {
    HEED_ASSIGN_OR_RETURN(const JsonValue steps, json.Get("decoders"));
    return steps.ForEachElement([this](int64_t, const JsonValue& step) { return Parse(step); });
  }

  absl::Status ParseByteLevel() {
    decoder_.byte_level_ = true;
    HEED_RETURN_IF_ERROR(Add(NewByteLevelStep()));
    fused_ = true;
    return absl::OkStatus();
  }

  absl::Status ParseWordPiece(const JsonValue& json) {
    HEED_ASSIGN_OR_RETURN(std::string prefix, json.StringOr("prefix", "##"));
    HEED_ASSIGN_OR_RETURN(const bool cleanup, json.BoolOr("cleanup", true));
    return Add(NewWordPieceStep(std::move(prefix), cleanup));
  }

  static absl::StatusOr<std::string> OneChar(const JsonValue& json, absl::string_view key) {
    HEED_ASSIGN_OR_RETURN(const JsonValue value, json.Get(key));
    HEED_ASSIGN_OR_RETURN(const absl::string_view text, value.String());
    if (text.empty() || DecodeUtf8(text).length != static_cast<int>(text.size())) {
      return value.Unexpected("one character");
    }
    return std::string(text);
  }

  absl::Status ParseMetaspace(const JsonValue& json) {
    HEED_ASSIGN_OR_RETURN(std::string replacement, OneChar(json, "replacement"));
    HEED_ASSIGN_OR_RETURN(const std::string scheme, json.StringOr("prepend_scheme", "always"));
    HEED_ASSIGN_OR_RETURN(const bool add_prefix_space, json.BoolOr("add_prefix_space", true));
    if (scheme != "always" && scheme != "first" && scheme != "never") {
      return json.Error(absl::StrCat("has the prepend_scheme ", Quoted(scheme),
                                     "; expected always, first or never"));
    }
    return Add(NewMetaspaceStep(std::move(replacement), scheme != "never" && add_prefix_space));
  }

  absl::Status ParseBpe(const JsonValue& json) {
    HEED_ASSIGN_OR_RETURN(std::string suffix, json.StringOr("suffix", "</w>"));
    return Add(NewBpeStep(std::move(suffix)));
  }

  absl::Status ParseStrip(const JsonValue& json) {
    constexpr int64_t kMaxChars = std::numeric_limits<int32_t>::max();
    HEED_ASSIGN_OR_RETURN(std::string content, OneChar(json, "content"));
    HEED_ASSIGN_OR_RETURN(const JsonValue start_json, json.Get("start"));
    HEED_ASSIGN_OR_RETURN(const int64_t start, start_json.Int(0, kMaxChars));
    HEED_ASSIGN_OR_RETURN(const JsonValue stop_json, json.Get("stop"));
    HEED_ASSIGN_OR_RETURN(const int64_t stop, stop_json.Int(0, kMaxChars));
    if (fused_ && stop == 0 && !decoder_.byte_level_) {
      return Add(NewLeadingStripStep(std::move(content), start));
    }
    CollectIfFused();
    return Add(NewStripStep(std::move(content), start, stop));
  }

  absl::Status ParseReplace(const JsonValue& json) {
    HEED_ASSIGN_OR_RETURN(const JsonValue pattern_json, json.Get("pattern"));
    HEED_ASSIGN_OR_RETURN(std::unique_ptr<Pattern> pattern, ParsePattern(pattern_json));
    HEED_ASSIGN_OR_RETURN(const absl::string_view content, json.StringAt("content"));
    return Add(NewReplaceStep(std::move(pattern), std::string(content)));
  }

  absl::Status ParseCtc(const JsonValue& json) {
    CtcOptions options;
    HEED_ASSIGN_OR_RETURN(options.pad_token, json.StringOr("pad_token", options.pad_token));
    HEED_ASSIGN_OR_RETURN(options.word_delimiter_token,
                          json.StringOr("word_delimiter_token", options.word_delimiter_token));
    HEED_ASSIGN_OR_RETURN(options.cleanup, json.BoolOr("cleanup", true));
    return Add(NewCtcStep(std::move(options)));
  }

  Decoder decoder_;
  bool fused_ = false;      // what comes now is one token, still in parts
  bool collected_ = false;  // what comes now is one token as a whole
};

std::string Decoder::InnerBytes(absl::string_view piece) const {
  std::string token(piece);
  for (const auto& step : steps_) token = step->Inner(std::move(token));
  return token;
}

Decoder::Run::Run(const Decoder& decoder) {
  for (const auto& step : decoder.steps_) runs_.push_back(step->NewRun());
}

void Decoder::Run::PushTo(size_t step, std::string token, std::string* out) {
  if (step == runs_.size()) {
    *out += token;
    return;
  }
  runs_[step]->Push(std::move(token),
                    [&](std::string next) { PushTo(step + 1, std::move(next), out); });
}

std::string Decoder::Run::Push(absl::string_view piece) {
  std::string out;
  PushTo(0, std::string(piece), &out);
  return out;
}

std::string Decoder::Run::Finish() {
  std::string out;
  for (size_t step = 0; step < runs_.size(); ++step) {
    runs_[step]->Finish([&](std::string token) { PushTo(step + 1, std::move(token), &out); });
  }
  return out;
}

absl::StatusOr<Decoder> ParseDecoder(const JsonValue& json) {
  DecoderParser parser;
  HEED_RETURN_IF_ERROR(json.IsNull() ? parser.ParseNone() : parser.Parse(json));
  return parser.Take();
}

}  // namespace heed
