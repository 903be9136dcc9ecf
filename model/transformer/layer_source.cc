#include "model/transformer/layer_source.h"

#include <algorithm>
#include <utility>

#include "model/base/matrix.h"
#include "model/base/status_macros.h"
#include "model/kernels/backend.h"
#include "model/kernels/weight_strips.h"

namespace heed {
namespace {

// Input features of a weight that are turned at a time, and of those rows at a time, so that both
// sides stay in the cache.
constexpr int64_t kTurnedInputs = 32;
constexpr int64_t kTurnedRows = 32;

}  // namespace

LayerSource::LayerSource(const Checkpoint& checkpoint, std::vector<LayerTensor> tensors, int64_t in,
                         bool input_major)
    : checkpoint_(checkpoint), tensors_(std::move(tensors)), in_(in), input_major_(input_major) {
  for (const LayerTensor& tensor : tensors_) rows_ += tensor.rows;
}

absl::Status LayerSource::Prepare(absl::Span<const std::string> bias_names) {
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const LayerTensor& tensor = tensors_[i];
    const std::vector<int64_t> shape = input_major_ ? std::vector<int64_t>{in_, tensor.rows}
                                                    : std::vector<int64_t>{tensor.rows, in_};
    HEED_RETURN_IF_ERROR(checkpoint_.Check(tensor.name, shape));
    if (!bias_names.empty()) {
      HEED_RETURN_IF_ERROR(checkpoint_.Check(bias_names[i], {tensor.rows}));
    }
  }
  if (!input_major_) return absl::OkStatus();
  turned_ = AlignedBuffer(rows_ * in_);
  int64_t row = 0;
  for (const LayerTensor& tensor : tensors_) {
    HEED_RETURN_IF_ERROR(
        ReadTransposed(tensor, turned_.span().subspan(row * in_, tensor.rows * in_)));
    row += tensor.rows;
  }
  return absl::OkStatus();
}

absl::Status LayerSource::ReadTransposed(const LayerTensor& tensor, absl::Span<float> out) const {
  const WeightRows stored{
      in_, tensor.rows, [&](int64_t first, absl::Span<float> values) {
        const auto count = static_cast<int64_t>(values.size()) / tensor.rows;
        return checkpoint_.ReadRows(tensor.name, {in_, tensor.rows}, {first, count}, values);
      }};
  return ForEachStrip(stored, kTurnedInputs, [&](int64_t first, ConstMatrixRef inputs) {
    for (int64_t r0 = 0; r0 < tensor.rows; r0 += kTurnedRows) {
      const int64_t r1 = std::min(r0 + kTurnedRows, tensor.rows);
      for (int64_t r = r0; r < r1; ++r) {
        float* const to = out.data() + r * in_ + first;
        for (int64_t i = 0; i < inputs.rows; ++i) to[i] = inputs.Row(i)[r];
      }
    }
    return absl::OkStatus();
  });
}

LayerSource::Run LayerSource::FindRun(int64_t row) const {
  if (n_heads_ > 0) {
    const int64_t part = row / (n_heads_ * head_dim_), head = row / head_dim_ % n_heads_;
    const int64_t within = row % head_dim_;
    return {0, (head * 3 + part) * head_dim_ + within, head_dim_ - within};
  }
  Run run{0, row, 0};
  while (run.first >= tensors_[run.tensor].rows) run.first -= tensors_[run.tensor++].rows;
  run.count = tensors_[run.tensor].rows - run.first;
  return run;
}

template <typename T, typename ReadRun>
absl::Status LayerSource::ForEachRun(int64_t first, int64_t row_size, absl::Span<T> out,
                                     const ReadRun& read) const {
  const int64_t rows = static_cast<int64_t>(out.size()) / row_size;
  for (int64_t done = 0; done < rows;) {
    Run run = FindRun(first + done);
    run.count = std::min(run.count, rows - done);
    HEED_RETURN_IF_ERROR(read(run, out.subspan(done * row_size, run.count * row_size)));
    done += run.count;
  }
  return absl::OkStatus();
}

absl::Status LayerSource::Read(int64_t first, absl::Span<float> out) const {
  return ForEachRun(first, in_, out, [this](const Run& run, absl::Span<float> rows) {
    const LayerTensor& tensor = tensors_[run.tensor];
    if (!input_major_) {
      return checkpoint_.ReadRows(tensor.name, {tensor.rows, in_}, {run.first, run.count}, rows);
    }
    int64_t before = 0;
    for (size_t t = 0; t < run.tensor; ++t) before += tensors_[t].rows;
    std::copy_n(turned_.data() + (before + run.first) * in_, rows.size(), rows.data());
    return absl::OkStatus();
  });
}

absl::Status LayerSource::ReadStored(int64_t first, absl::Span<char> out) const {
  const TensorInfo* const info = checkpoint_.Find(tensors_.front().name);
  const int64_t row_bytes =
      BlockRows::BlockBytes(info->dtype == DType::kQ8_0 ? 8 : 4) * (in_ / BlockRows::kBlockValues);
  return ForEachRun(first, row_bytes, out, [this](const Run& run, absl::Span<char> rows) {
    return checkpoint_.ReadStoredRows(tensors_[run.tensor].name, {run.first, run.count}, rows);
  });
}

absl::Status LayerSource::ReadVector(absl::Span<const std::string> names,
                                     absl::Span<float> out) const {
  return ForEachRun(0, 1, out, [&](const Run& run, absl::Span<float> values) {
    return checkpoint_.ReadRows(names[run.tensor], {tensors_[run.tensor].rows},
                                {run.first, run.count}, values);
  });
}

}  // namespace heed
