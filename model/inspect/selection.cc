#include "model/inspect/selection.h"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"

namespace heed {
namespace {

template <typename T>
void SortUnique(std::vector<T>& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

absl::Status OutOfRange(const std::string& field, int64_t value, int64_t count, int64_t most) {
  return MakeError(absl::StatusCode::kOutOfRange, "POSITION_OUT_OF_RANGE",
                   absl::StrCat(field, " is ", value, "; there are ", CountTokens(count),
                                ", so it must be in [", -count, ", ", most, "]"),
                   {{"field", field},
                    {"position", absl::StrCat(value)},
                    {"prompt_tokens", absl::StrCat(count)}});
}

}  // namespace

void SelectionErrors::Violation(absl::string_view field, absl::string_view description) {
  if (++violations_ <= kMaxKept) kept_.push_back({std::string(field), std::string(description)});
}

absl::Status SelectionErrors::ToStatus() const {
  if (violations_ == 0) return error_;
  std::vector<FieldViolation> listed = kept_;
  if (violations_ > kMaxKept) {
    absl::StrAppend(&listed.back().description, " (and ", violations_ - kMaxKept,
                    " more wrong fields)");
  }
  return InvalidFields(std::move(listed));
}

std::vector<int> ResolveIndices(const std::string& field, absl::Span<const int> values, int count,
                                SelectionErrors* errors) {
  std::vector<int> resolved(values.begin(), values.end());
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] < -count || values[i] >= count) {
      errors->Violation(
          absl::StrCat(field, "[", i, "]"),
          absl::StrCat("is ", values[i], "; must be in [", -count, ", ", count - 1, "]"));
    }
    if (values[i] < 0) resolved[i] += count;
  }
  if (values.empty()) {
    resolved.resize(count);
    std::iota(resolved.begin(), resolved.end(), 0);
  }
  SortUnique(resolved);
  return resolved;
}

ResolvedSpan ResolveSpan(const std::string& field, const PositionSpan& span, int64_t count,
                         SelectionErrors* errors) {
  int64_t begin = span.begin, end = span.end.value_or(count);
  for (const auto& [name, value, most] :
       {std::tuple(".begin", &begin, count - 1), std::tuple(".end", &end, count)}) {
    if (*value < -count || *value > most) {
      errors->Error(OutOfRange(absl::StrCat(field, name), *value, count, most));
      return {0, 0};
    }
    if (*value < 0) *value += count;
  }
  if (begin >= end) {
    errors->Violation(field,
                      absl::StrCat("is empty: it begins at ", begin, " and ends before ", end));
    return {0, 0};
  }
  return {begin, end};
}

std::vector<int64_t> ResolveSpans(const std::string& field, absl::Span<const PositionSpan> spans,
                                  int64_t count, SelectionErrors* errors) {
  std::vector<ResolvedSpan> resolved(spans.size());
  for (size_t i = 0; i < spans.size(); ++i) {
    resolved[i] = ResolveSpan(absl::StrCat(field, "[", i, "]"), spans[i], count, errors);
  }
  std::sort(resolved.begin(), resolved.end(),
            [](ResolvedSpan a, ResolvedSpan b) { return a.begin < b.begin; });
  std::vector<int64_t> positions;
  for (int64_t next = 0; const ResolvedSpan span : resolved) {
    next = std::max(next, span.begin);
    for (; next < span.end; ++next) positions.push_back(next);
  }
  return positions;
}

std::string CountTokens(int64_t n) {
  return absl::StrCat(n, n == 1 ? " token" : " tokens");
}

}  // namespace heed
