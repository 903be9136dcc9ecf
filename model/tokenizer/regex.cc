#include "model/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/tokenizer/regex_dialect.h"

namespace heed {
namespace {

constexpr size_t kMaxPatternBytes = 1 << 16;
constexpr uint32_t kMaxNesting = 100;
constexpr size_t kJitStackStart = 32 << 10;
constexpr size_t kJitStackMax = 1 << 20;
constexpr uint32_t kMatchSteps = 10'000'000;
constexpr uint32_t kMatchDepth = 100'000;
constexpr uint32_t kMatchHeapKib = 64 << 10;

template <auto Function>
struct Deleter {
  template <typename T>
  void operator()(T* value) const {
    Function(value);
  }
};
using CodePtr = std::unique_ptr<pcre2_code, Deleter<pcre2_code_free>>;
using CompileContextPtr =
    std::unique_ptr<pcre2_compile_context, Deleter<pcre2_compile_context_free>>;
using MatchContextPtr = std::unique_ptr<pcre2_match_context, Deleter<pcre2_match_context_free>>;
using MatchDataPtr = std::unique_ptr<pcre2_match_data, Deleter<pcre2_match_data_free>>;
using JitStackPtr = std::unique_ptr<pcre2_jit_stack, Deleter<pcre2_jit_stack_free>>;

PCRE2_SPTR Units(absl::string_view text) {
  return reinterpret_cast<PCRE2_SPTR>(text.data());
}

std::string ErrorText(int error) {
  unsigned char text[128] = {};
  pcre2_get_error_message(error, text, sizeof(text));
  return reinterpret_cast<const char*>(text);
}

bool IsLimit(int error) {
  return error == PCRE2_ERROR_MATCHLIMIT || error == PCRE2_ERROR_DEPTHLIMIT ||
         error == PCRE2_ERROR_HEAPLIMIT || error == PCRE2_ERROR_JIT_STACKLIMIT ||
         error == PCRE2_ERROR_NOMEMORY;
}

CodePtr CompileCode(absl::string_view pattern, int* error, size_t* offset) {
  const CompileContextPtr context(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit(context.get(), kMaxNesting);
  return CodePtr(pcre2_compile(Units(pattern), pattern.size(),
                               PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                               error, offset, context.get()));
}

// PCRE2 below 10.40 does not know sc:, and means by the name alone what later versions mean by
// both.
bool IsScript(absl::string_view name) {
  int error = 0;
  size_t offset = 0;
  return CompileCode(absl::StrCat("\\p{sc:", name, "}"), &error, &offset) != nullptr;
}

}  // namespace

struct Regex::Code {
  CodePtr code;
};

Regex::Regex() : code_(std::make_unique<Code>()) {}
Regex::~Regex() = default;

absl::StatusOr<std::unique_ptr<Regex>> Regex::Compile(absl::string_view pattern) {
  if (pattern.size() > kMaxPatternBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the pattern has ", pattern.size(), " bytes; at most ", kMaxPatternBytes, " are read"));
  }
  HEED_ASSIGN_OR_RETURN(const std::string translated, ToPcre2Dialect(pattern, IsScript));
  int error = 0;
  size_t offset = 0;
  CodePtr code = CompileCode(translated, &error, &offset);
  if (code == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("the pattern is malformed: ", ErrorText(error),
                                                   " at byte ", offset, " of ", translated));
  }
  // Where code may not be generated at run time, PCRE2 interprets the pattern.
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
  auto regex = std::unique_ptr<Regex>(new Regex());
  regex->code_->code = std::move(code);
  return regex;
}

struct RegexSearch::State {
  const pcre2_code* code;
  JitStackPtr stack;
  MatchContextPtr context;
  MatchDataPtr data;
};

RegexSearch::RegexSearch(const Regex& regex) : state_(std::make_unique<State>()) {
  state_->code = regex.code_->code.get();
  state_->stack.reset(pcre2_jit_stack_create(kJitStackStart, kJitStackMax, nullptr));
  state_->context.reset(pcre2_match_context_create(nullptr));
  state_->data.reset(pcre2_match_data_create(1, nullptr));
  pcre2_set_match_limit(state_->context.get(), kMatchSteps);
  pcre2_set_depth_limit(state_->context.get(), kMatchDepth);
  pcre2_set_heap_limit(state_->context.get(), kMatchHeapKib);
  pcre2_jit_stack_assign(state_->context.get(), nullptr, state_->stack.get());
}

RegexSearch::~RegexSearch() = default;

absl::StatusOr<bool> RegexSearch::Find(absl::string_view text, size_t from, Match* match) {
  // The text is valid UTF-8 by contract; checking it again for each match would be quadratic.
  const int result = pcre2_match(state_->code, Units(text), text.size(), from, PCRE2_NO_UTF_CHECK,
                                 state_->data.get(), state_->context.get());
  if (result == PCRE2_ERROR_NOMATCH) return false;
  if (result < 0) {
    const std::string message =
        absl::StrCat("the tokenizer's pattern fails at byte ", from, " of a piece of ", text.size(),
                     " bytes: ", ErrorText(result));
    return IsLimit(result) ? absl::ResourceExhaustedError(message) : absl::InternalError(message);
  }
  const size_t* bounds = pcre2_get_ovector_pointer(state_->data.get());
  // \K can move the beginning of a match, even past its end.
  match->begin = std::max(from, std::min(bounds[0], bounds[1]));
  match->end = std::max(match->begin, bounds[1]);
  return true;
}

}  // namespace heed
