#include "client/cli/request/rows.h"

#include <numeric>
#include <string>

#include "absl/strings/numbers.h"
#include "client/error.h"
#include "google/protobuf/util/time_util.h"

namespace heed::cli {

int64_t RowsThatFit(const absl::Status& status, int64_t rows) {
  const ServerError error = GetServerError(status);
  if (error.reason != "REPLY_TOO_LARGE") return 0;
  const auto number = [&](const char* name) -> int64_t {
    const auto at = error.metadata.find(name);
    int64_t value = 0;
    return at != error.metadata.end() && absl::SimpleAtoi(at->second, &value) ? value : 0;
  };
  const int64_t limit = number("limit_bytes"), requested = number("requested_bytes");
  if (limit <= 0 || requested <= limit) return 0;
  const double share = static_cast<double>(limit) / static_cast<double>(requested);
  return std::max<int64_t>(static_cast<int64_t>(share * static_cast<double>(rows)), 1);
}

std::vector<int64_t> RowsOf(const google::protobuf::RepeatedField<int64_t>& queries,
                            int64_t n_tokens) {
  std::vector<int64_t> rows(queries.begin(), queries.end());
  for (int64_t& row : rows) row += row < 0 ? n_tokens : 0;
  if (rows.empty()) {
    rows.resize(static_cast<size_t>(n_tokens));
    std::iota(rows.begin(), rows.end(), int64_t{0});
  }
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  return rows;
}

void AppendRows(const v1::Tensor& from, v1::Tensor* to) {
  to->set_shape(0, to->shape(0) + from.shape(0));
  to->mutable_data()->append(from.data());
}

namespace {

void AddTimes(const v1::Timings& from, v1::Timings* to) {
  *to->mutable_tokenize() += from.tokenize();
  *to->mutable_queue() += from.queue();
  *to->mutable_compute() += from.compute();
}

}  // namespace

void AppendRows(const v1::RolloutResponse& from, v1::RolloutResponse* to) {
  to->mutable_queries()->MergeFrom(from.queries());
  AddTimes(from.timings(), to->mutable_timings());
  AppendRows(from.weights(), to->mutable_weights());
}

void AppendRows(const v1::DecomposeAttentionResponse& from, v1::DecomposeAttentionResponse* to) {
  to->mutable_queries()->MergeFrom(from.queries());
  AddTimes(from.timings(), to->mutable_timings());
  AppendRows(from.norms(), to->mutable_norms());
  AppendRows(from.mixing_ratios(), to->mutable_mixing_ratios());
}

}  // namespace heed::cli
