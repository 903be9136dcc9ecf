// Where the weight of a linear layer comes from: rows of one tensor of a checkpoint or of several.
#ifndef HEED_MODEL_TRANSFORMER_LAYER_SOURCE_H_
#define HEED_MODEL_TRANSFORMER_LAYER_SOURCE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "model/base/aligned_buffer.h"
#include "model/checkpoint/checkpoint.h"

namespace heed {

// A tensor of the layer's width.
struct LayerTensor {
  std::string name;
  int64_t rows = 0;
};

class LayerSource {
 public:
  // The tensors' rows one after the other, [sum of rows, in]. `input_major`: each is stored [in,
  // rows]; then all of it is in memory from Prepare on. The checkpoint must outlive this.
  LayerSource(const Checkpoint& checkpoint, std::vector<LayerTensor> tensors, int64_t in,
              bool input_major);

  // The tensor's rows are stored [n_heads][q, k, v][head_dim], and wanted [q | k | v] of all heads.
  void SplitHeads(int64_t n_heads, int64_t head_dim) {
    n_heads_ = n_heads;
    head_dim_ = head_dim;
  }

  int64_t rows() const { return rows_; }
  int64_t in() const { return in_; }
  const std::vector<LayerTensor>& tensors() const { return tensors_; }

  // To be called before rows are read. Checks the tensors in turn, each with its bias, of which
  // there is one for each or none. Errors as Checkpoint::ReadRows.
  absl::Status Prepare(absl::Span<const std::string> bias_names);

  // Whole rows from `first` on, as f32 or as they are stored. Thread-safe. Errors as
  // Checkpoint::ReadRows.
  absl::Status Read(int64_t first, absl::Span<float> out) const;
  absl::Status ReadStored(int64_t first, absl::Span<char> out) const;

  // A vector of a value for each row, in the same order: rows of `names`, one for each tensor.
  absl::Status ReadVector(absl::Span<const std::string> names, absl::Span<float> out) const;

 private:
  // Rows that are together in a tensor.
  struct Run {
    size_t tensor = 0;
    int64_t first = 0;
    int64_t count = 0;
  };
  Run FindRun(int64_t row) const;
  template <typename T, typename ReadRun>
  absl::Status ForEachRun(int64_t first, int64_t row_size, absl::Span<T> out,
                          const ReadRun& read) const;
  absl::Status ReadTransposed(const LayerTensor& tensor, absl::Span<float> out) const;

  const Checkpoint& checkpoint_;
  const std::vector<LayerTensor> tensors_;
  const int64_t in_;
  const bool input_major_;
  int64_t rows_ = 0;
  int64_t n_heads_ = 0, head_dim_ = 0;
  AlignedBuffer turned_;  // [rows, in] of an input-major weight
};

}  // namespace heed

#endif  // HEED_MODEL_TRANSFORMER_LAYER_SOURCE_H_
