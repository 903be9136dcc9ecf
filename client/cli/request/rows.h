// Answers of one row for each chosen position, in parts where they are more than a reply may hold.
#ifndef HEED_CLIENT_CLI_REQUEST_ROWS_H_
#define HEED_CLIENT_CLI_REQUEST_ROWS_H_

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "google/protobuf/repeated_field.h"
#include "heed/v1/inspection.pb.h"

namespace heed::cli {

// How many of so many rows fit into a reply, at least 1, where the server refused for the size of
// it; 0 for any other status.
int64_t RowsThatFit(const absl::Status& status, int64_t rows);

// The positions of a prompt that a request means, ascending without repeats; empty: all.
std::vector<int64_t> RowsOf(const google::protobuf::RepeatedField<int64_t>& queries,
                            int64_t n_tokens);

// Appends rows to a tensor of as many columns.
void AppendRows(const v1::Tensor& from, v1::Tensor* to);
// The rows of another part of the same answer, and the time that it took.
void AppendRows(const v1::RolloutResponse& from, v1::RolloutResponse* to);
void AppendRows(const v1::DecomposeAttentionResponse& from, v1::DecomposeAttentionResponse* to);

// What `ask` answers to the request, whose queries, if there are none, mean all rows; `count` tells
// the number of tokens, and is called only if the answer must come in parts. Each part runs the
// prompt again, unless it is a trace's.
template <typename Request, typename Ask, typename Count>
auto AskForRows(Request request, const Ask& ask, const Count& count) -> decltype(ask(request)) {
  auto whole = ask(request);
  if (RowsThatFit(whole.status(), 1) == 0) return whole;
  const absl::StatusOr<int64_t> n_tokens = count();
  if (!n_tokens.ok()) return n_tokens.status();
  const std::vector<int64_t> rows = RowsOf(request.queries(), *n_tokens);
  const auto n_rows = static_cast<int64_t>(rows.size());
  const int64_t at_once = RowsThatFit(whole.status(), n_rows);
  for (int64_t begin = 0; begin < n_rows; begin += at_once) {
    const int64_t end = std::min(begin + at_once, n_rows);
    request.mutable_queries()->Assign(rows.begin() + begin, rows.begin() + end);
    auto part = ask(request);
    if (!part.ok() || begin == 0) {
      whole = std::move(part);
      if (!whole.ok()) return whole;
      continue;
    }
    if (part->prompt().tokens_size() != whole->prompt().tokens_size()) {
      return absl::InternalError("the parts of the server's answer are of different prompts");
    }
    AppendRows(*part, &*whole);
  }
  return whole;
}

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_REQUEST_ROWS_H_
