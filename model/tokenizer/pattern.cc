#include "model/tokenizer/pattern.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/base/utf8.h"
#include "model/tokenizer/regex.h"
#include "model/tokenizer/token_matcher.h"

namespace heed {
namespace {

// Collects matches and fills the gaps between them.
class SegmentBuilder {
 public:
  explicit SegmentBuilder(std::vector<Segment>* segments) : segments_(segments) {
    segments_->clear();
  }

  void AddMatch(size_t begin, size_t end) {
    AddGap(begin);
    Push(begin, end, true);
  }
  void Finish(size_t text_size) { AddGap(text_size); }

 private:
  void AddGap(size_t begin) {
    if (end_ < begin) Push(end_, begin, false);
  }
  void Push(size_t begin, size_t end, bool is_match) {
    segments_->push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end), is_match});
    end_ = end;
  }

  std::vector<Segment>* const segments_;
  size_t end_ = 0;
};

class RegexFinder : public SegmentFinder {
 public:
  explicit RegexFinder(const Regex& regex) : search_(regex) {}

  // An empty match right behind another match does not count; the search then goes on one character
  // later.
  absl::Status Find(absl::string_view text, std::vector<Segment>* segments) override {
    SegmentBuilder builder(segments);
    RegexSearch::Match match;
    bool matched = false;
    size_t last_end = 0;
    for (size_t from = 0; from <= text.size();) {
      HEED_ASSIGN_OR_RETURN(const bool found, search_.Find(text, from, &match));
      if (!found) break;
      if (match.begin == match.end && matched && match.end == last_end) {
        from += from < text.size() ? DecodeValidUtf8(text.substr(from)).length : 1;
        continue;
      }
      builder.AddMatch(match.begin, match.end);
      matched = true;
      from = last_end = match.end;
    }
    builder.Finish(text.size());
    return absl::OkStatus();
  }

 private:
  RegexSearch search_;
};

class RegexPattern : public Pattern {
 public:
  explicit RegexPattern(std::unique_ptr<Regex> regex) : regex_(std::move(regex)) {}
  std::unique_ptr<SegmentFinder> NewFinder() const override {
    return std::make_unique<RegexFinder>(*regex_);
  }

 private:
  const std::unique_ptr<Regex> regex_;
};

class LiteralFinder : public SegmentFinder {
 public:
  explicit LiteralFinder(const TokenMatcher& matcher) : matcher_(matcher) {}

  absl::Status Find(absl::string_view text, std::vector<Segment>* segments) override {
    SegmentBuilder builder(segments);
    matcher_.ForEach(
        text, [&](const TokenMatcher::Match& match) { builder.AddMatch(match.begin, match.end); });
    builder.Finish(text.size());
    return absl::OkStatus();
  }

 private:
  const TokenMatcher& matcher_;
};

class LiteralPattern : public Pattern {
 public:
  explicit LiteralPattern(absl::string_view literal) {
    matcher_.Add(literal, 0);
    matcher_.Build();
  }
  std::unique_ptr<SegmentFinder> NewFinder() const override {
    return std::make_unique<LiteralFinder>(matcher_);
  }

 private:
  TokenMatcher matcher_;
};

class CharFinder : public SegmentFinder {
 public:
  explicit CharFinder(bool (*is_match)(char32_t)) : is_match_(is_match) {}

  absl::Status Find(absl::string_view text, std::vector<Segment>* segments) override {
    SegmentBuilder builder(segments);
    for (size_t at = 0; at < text.size();) {
      const Utf8Char c = DecodeValidUtf8(text.substr(at));
      if (is_match_(c.code_point)) builder.AddMatch(at, at + c.length);
      at += c.length;
    }
    builder.Finish(text.size());
    return absl::OkStatus();
  }

 private:
  bool (*const is_match_)(char32_t);
};

class CharPattern : public Pattern {
 public:
  explicit CharPattern(bool (*is_match)(char32_t)) : is_match_(is_match) {}
  std::unique_ptr<SegmentFinder> NewFinder() const override {
    return std::make_unique<CharFinder>(is_match_);
  }

 private:
  bool (*const is_match_)(char32_t);
};

class FixedLengthFinder : public SegmentFinder {
 public:
  explicit FixedLengthFinder(int64_t n_chars) : n_chars_(n_chars) {}

  absl::Status Find(absl::string_view text, std::vector<Segment>* segments) override {
    SegmentBuilder builder(segments);
    for (size_t at = 0; at < text.size();) {
      const size_t begin = at;
      for (int64_t i = 0; i < n_chars_ && at < text.size(); ++i) {
        at += DecodeValidUtf8(text.substr(at)).length;
      }
      builder.AddMatch(begin, at);
    }
    return absl::OkStatus();
  }

 private:
  const int64_t n_chars_;
};

class FixedLengthPattern : public Pattern {
 public:
  explicit FixedLengthPattern(int64_t n_chars) : n_chars_(n_chars) {}
  std::unique_ptr<SegmentFinder> NewFinder() const override {
    return std::make_unique<FixedLengthFinder>(n_chars_);
  }

 private:
  const int64_t n_chars_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Pattern>> NewRegexPattern(absl::string_view regex) {
  HEED_ASSIGN_OR_RETURN(std::unique_ptr<Regex> compiled, Regex::Compile(regex));
  return std::make_unique<RegexPattern>(std::move(compiled));
}

std::unique_ptr<Pattern> NewLiteralPattern(absl::string_view literal) {
  return std::make_unique<LiteralPattern>(literal);
}

std::unique_ptr<Pattern> NewCharPattern(bool (*is_match)(char32_t)) {
  return std::make_unique<CharPattern>(is_match);
}

std::unique_ptr<Pattern> NewFixedLengthPattern(int64_t n_chars) {
  return std::make_unique<FixedLengthPattern>(n_chars);
}

absl::StatusOr<std::unique_ptr<Pattern>> ParsePattern(const JsonValue& json) {
  const std::optional<JsonValue> regex = json.Find("Regex");
  if (regex.has_value()) {
    HEED_ASSIGN_OR_RETURN(const absl::string_view text, regex->String());
    absl::StatusOr<std::unique_ptr<Pattern>> pattern = NewRegexPattern(text);
    if (absl::IsUnimplemented(pattern.status()))
      return regex->Unsupported(pattern.status().message());
    if (!pattern.ok()) return regex->Error(pattern.status().message());
    return pattern;
  }
  const std::optional<JsonValue> literal = json.Find("String");
  if (!literal.has_value()) return json.Error("has neither \"Regex\" nor \"String\"");
  HEED_ASSIGN_OR_RETURN(const absl::string_view text, literal->String());
  if (text.empty()) return literal->Error("is empty; expected the text to look for");
  return NewLiteralPattern(text);
}

}  // namespace heed
