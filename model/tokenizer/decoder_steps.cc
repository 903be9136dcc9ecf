#include "model/tokenizer/decoder_steps.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "model/base/utf8.h"
#include "model/tokenizer/byte_alphabet.h"

namespace heed {
namespace {

// A step whose tokens do not depend on each other.
class TokenStep : public DecoderStep {
 public:
  std::unique_ptr<DecoderRun> NewRun() const override { return std::make_unique<Run>(*this); }

 private:
  class Run : public DecoderRun {
   public:
    explicit Run(const TokenStep& step) : step_(step) {}
    void Push(std::string token, Sink sink) override { sink(step_.Inner(std::move(token))); }

   private:
    const TokenStep& step_;
  };
};

// A step that treats the first token differently.
class FirstTokenStep : public DecoderStep {
 public:
  std::unique_ptr<DecoderRun> NewRun() const override { return std::make_unique<Run>(*this); }

 protected:
  virtual std::string First(std::string token) const = 0;

 private:
  class Run : public DecoderRun {
   public:
    explicit Run(const FirstTokenStep& step) : step_(step) {}
    void Push(std::string token, Sink sink) override {
      const bool first = std::exchange(first_, false);
      sink(first ? step_.First(std::move(token)) : step_.Inner(std::move(token)));
    }

   private:
    const FirstTokenStep& step_;
    bool first_ = true;
  };
};

class SeparatorStep : public FirstTokenStep {
 public:
  explicit SeparatorStep(std::string separator) : separator_(std::move(separator)) {}
  std::string Inner(std::string token) const override { return absl::StrCat(separator_, token); }

 protected:
  std::string First(std::string token) const override { return token; }

 private:
  const std::string separator_;
};

class ByteLevelStep : public TokenStep {
 public:
  std::string Inner(std::string token) const override { return SpelledBytes(token); }
};

// One replacement after another, each over the whole text.
std::string CleanUp(std::string text) {
  constexpr std::pair<absl::string_view, absl::string_view> kReplacements[] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
  };
  if (!absl::StrContains(text, ' ')) return text;
  for (const auto& replacement : kReplacements) absl::StrReplaceAll({replacement}, &text);
  return text;
}

class WordPieceStep : public FirstTokenStep {
 public:
  WordPieceStep(std::string prefix, bool cleanup) : prefix_(std::move(prefix)), cleanup_(cleanup) {}

  std::string Inner(std::string token) const override {
    absl::string_view rest = token;
    return First(absl::ConsumePrefix(&rest, prefix_) ? std::string(rest)
                                                     : absl::StrCat(" ", token));
  }

 protected:
  std::string First(std::string token) const override {
    return cleanup_ ? CleanUp(std::move(token)) : token;
  }

 private:
  const std::string prefix_;
  const bool cleanup_;
};

class MetaspaceStep : public FirstTokenStep {
 public:
  MetaspaceStep(std::string replacement, bool drops_in_first)
      : replacement_(std::move(replacement)), drops_in_first_(drops_in_first) {}

  std::string Inner(std::string token) const override {
    return absl::StrReplaceAll(token, {{replacement_, " "}});
  }

 protected:
  std::string First(std::string token) const override {
    return absl::StrReplaceAll(token, {{replacement_, drops_in_first_ ? "" : " "}});
  }

 private:
  const std::string replacement_;
  const bool drops_in_first_;
};

class BpeStep : public DecoderStep {
 public:
  explicit BpeStep(std::string suffix) : suffix_(std::move(suffix)) {}

  std::string Inner(std::string token) const override { return WithSuffixAs(token, " "); }
  std::unique_ptr<DecoderRun> NewRun() const override { return std::make_unique<Run>(*this); }

 private:
  // Holds the last token back.
  class Run : public DecoderRun {
   public:
    explicit Run(const BpeStep& step) : step_(step) {}
    void Push(std::string token, Sink sink) override {
      if (held_.has_value()) sink(step_.Inner(*std::move(held_)));
      held_ = std::move(token);
    }
    void Finish(Sink sink) override {
      if (held_.has_value()) sink(step_.WithSuffixAs(*held_, ""));
    }

   private:
    const BpeStep& step_;
    std::optional<std::string> held_;
  };

  std::string WithSuffixAs(absl::string_view token, absl::string_view replacement) const {
    if (suffix_.empty()) return std::string(token);
    return absl::StrReplaceAll(token, {{suffix_, replacement}});
  }

  const std::string suffix_;
};

// The byte of a token <0xNN>.
std::optional<char> ByteOf(absl::string_view token) {
  if (token.size() != 6 || !absl::StartsWith(token, "<0x") || token[5] != '>') return std::nullopt;
  const absl::string_view digits = token.substr(3, 2);
  int value = 0;
  if (!absl::ascii_isxdigit(digits[0]) || !absl::ascii_isxdigit(digits[1]) ||
      !absl::SimpleHexAtoi(digits, &value)) {
    return std::nullopt;
  }
  return static_cast<char>(value);
}

class ByteFallbackStep : public DecoderStep {
 public:
  std::string Inner(std::string token) const override {
    const std::optional<char> byte = ByteOf(token);
    return byte.has_value() ? std::string(1, *byte) : token;
  }
  std::unique_ptr<DecoderRun> NewRun() const override { return std::make_unique<Run>(); }

 private:
  // Holds a run back until it ends: only then is it known to be well-formed.
  class Run : public DecoderRun {
   public:
    void Push(std::string token, Sink sink) override {
      if (const std::optional<char> byte = ByteOf(token)) {
        bytes_.push_back(*byte);
        return;
      }
      Finish(sink);
      sink(std::move(token));
    }
    void Finish(Sink sink) override {
      const std::string bytes = std::exchange(bytes_, "");
      if (bytes.empty()) return;
      if (IsValidUtf8(bytes)) return sink(bytes);
      for (size_t i = 0; i < bytes.size(); ++i) sink("\uFFFD");
    }

   private:
    std::string bytes_;
  };
};

// The token without up to `count` times `content` at its beginning; counts down.
absl::string_view StripFront(absl::string_view text, absl::string_view content, int64_t* count) {
  while (*count > 0 && absl::ConsumePrefix(&text, content)) --*count;
  return text;
}

class StripStep : public TokenStep {
 public:
  StripStep(std::string content, int64_t start, int64_t stop)
      : content_(std::move(content)), start_(start), stop_(stop) {}

  std::string Inner(std::string token) const override {
    int64_t start = start_;
    absl::string_view rest = StripFront(token, content_, &start);
    for (int64_t i = 0; i < stop_ && absl::ConsumeSuffix(&rest, content_); ++i) continue;
    return std::string(rest);
  }

 private:
  const std::string content_;
  const int64_t start_;
  const int64_t stop_;
};

class LeadingStripStep : public DecoderStep {
 public:
  LeadingStripStep(std::string content, int64_t start)
      : content_(std::move(content)), start_(start) {}
  std::string Inner(std::string token) const override { return token; }
  std::unique_ptr<DecoderRun> NewRun() const override {
    return std::make_unique<Run>(content_, start_);
  }

 private:
  class Run : public DecoderRun {
   public:
    Run(absl::string_view content, int64_t count) : content_(content), count_(count) {}
    void Push(std::string token, Sink sink) override {
      const absl::string_view rest = StripFront(token, content_, &count_);
      if (!rest.empty()) count_ = 0;
      sink(std::string(rest));
    }

   private:
    const absl::string_view content_;
    int64_t count_;  // that may still go
  };

  const std::string content_;
  const int64_t start_;
};

class ReplaceStep : public TokenStep {
 public:
  ReplaceStep(std::unique_ptr<Pattern> pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}

  // A token in which the pattern exceeds its limits stays as it is.
  std::string Inner(std::string token) const override {
    if (token.empty() || !IsValidUtf8(token)) return token;
    std::vector<Segment> segments;
    if (!pattern_->NewFinder()->Find(token, &segments).ok()) return token;
    std::string replaced;
    for (const Segment& segment : segments) {
      if (segment.is_match) {
        replaced += content_;
      } else {
        replaced.append(token, segment.begin, segment.end - segment.begin);
      }
    }
    return replaced;
  }

 private:
  const std::unique_ptr<Pattern> pattern_;
  const std::string content_;
};

class CtcStep : public DecoderStep {
 public:
  explicit CtcStep(CtcOptions options) : options_(std::move(options)) {}

  std::string Inner(std::string token) const override {
    if (!options_.pad_token.empty()) token = absl::StrReplaceAll(token, {{options_.pad_token, ""}});
    if (!options_.cleanup) return token;
    token = CleanUp(std::move(token));
    if (options_.word_delimiter_token.empty()) return token;
    return absl::StrReplaceAll(token, {{options_.word_delimiter_token, " "}});
  }
  std::unique_ptr<DecoderRun> NewRun() const override { return std::make_unique<Run>(*this); }

 private:
  class Run : public DecoderRun {
   public:
    explicit Run(const CtcStep& step) : step_(step) {}
    void Push(std::string token, Sink sink) override {
      if (previous_ == token) return;
      previous_ = token;
      std::string text = step_.Inner(std::move(token));
      if (!text.empty()) sink(std::move(text));
    }

   private:
    const CtcStep& step_;
    std::optional<std::string> previous_;
  };

  const CtcOptions options_;
};

class CollectStep : public DecoderStep {
 public:
  std::string Inner(std::string token) const override { return token; }
  std::unique_ptr<DecoderRun> NewRun() const override { return std::make_unique<Run>(); }

 private:
  class Run : public DecoderRun {
   public:
    void Push(std::string token, Sink sink) override { text_ += token; }
    void Finish(Sink sink) override { sink(ReplaceInvalidUtf8(text_)); }

   private:
    std::string text_;
  };
};

}  // namespace

DecoderStepPtr NewSeparatorStep(std::string separator) {
  return std::make_unique<SeparatorStep>(std::move(separator));
}

DecoderStepPtr NewByteLevelStep() {
  return std::make_unique<ByteLevelStep>();
}

DecoderStepPtr NewWordPieceStep(std::string prefix, bool cleanup) {
  return std::make_unique<WordPieceStep>(std::move(prefix), cleanup);
}

DecoderStepPtr NewMetaspaceStep(std::string replacement, bool drops_in_first) {
  return std::make_unique<MetaspaceStep>(std::move(replacement), drops_in_first);
}

DecoderStepPtr NewBpeStep(std::string suffix) {
  return std::make_unique<BpeStep>(std::move(suffix));
}

DecoderStepPtr NewByteFallbackStep() {
  return std::make_unique<ByteFallbackStep>();
}

DecoderStepPtr NewStripStep(std::string content, int64_t start, int64_t stop) {
  return std::make_unique<StripStep>(std::move(content), start, stop);
}

DecoderStepPtr NewLeadingStripStep(std::string content, int64_t start) {
  return std::make_unique<LeadingStripStep>(std::move(content), start);
}

DecoderStepPtr NewReplaceStep(std::unique_ptr<Pattern> pattern, std::string content) {
  return std::make_unique<ReplaceStep>(std::move(pattern), std::move(content));
}

DecoderStepPtr NewCtcStep(CtcOptions options) {
  return std::make_unique<CtcStep>(std::move(options));
}

DecoderStepPtr NewCollectStep() {
  return std::make_unique<CollectStep>();
}

}  // namespace heed
