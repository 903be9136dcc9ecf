// Reads the tensors of a checkpoint, packs them for a backend, and counts them.
#ifndef HEED_MODEL_TRANSFORMER_WEIGHT_READER_H_
#define HEED_MODEL_TRANSFORMER_WEIGHT_READER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/base/aligned_buffer.h"
#include "model/checkpoint/checkpoint.h"
#include "model/kernels/backend.h"

namespace heed {

// Whose rows a linear layer consists of, together with others of the same width.
struct LinearPart {
  std::string name;  // without ".weight" and ".bias"
  int64_t rows;
};

// Errors are those of Checkpoint::ReadF32.
class WeightReader {
 public:
  // `input_major`: linear weights are stored [in, out].
  WeightReader(const Checkpoint& checkpoint, const Backend& backend, bool input_major = false)
      : checkpoint_(checkpoint), backend_(backend), input_major_(input_major) {}

  // A table or vector that stays as it is.
  absl::StatusOr<AlignedBuffer> Table(const std::string& name, std::vector<int64_t> shape);

  // Stacks the parts' rows into one [sum of rows, in] layer.
  absl::StatusOr<std::unique_ptr<Linear>> Stack(absl::Span<const LinearPart> parts, int64_t in,
                                                bool has_bias);

  // One layer whose rows are [n_heads][q, k, v][head_dim], as [q | k | v] of all heads.
  absl::StatusOr<std::unique_ptr<Linear>> StackHeads(const std::string& name, int64_t n_heads,
                                                     int64_t head_dim, int64_t in, bool has_bias);

  // The unembedding: the rows of an embedding table [rows, in], with a bias [rows] or none.
  absl::StatusOr<std::unique_ptr<Linear>> Unembedding(const std::string& name, int64_t rows,
                                                      int64_t in, const std::string& bias_name);

  int64_t parameter_count() const { return parameter_count_; }
  int64_t bytes() const { return bytes_; }  // resident

 private:
  absl::Status Read(const std::string& name, absl::Span<const int64_t> shape,
                    absl::Span<float> out);
  absl::Status ReadRows(const std::string& name, int64_t rows, int64_t in, absl::Span<float> out);
  absl::StatusOr<std::unique_ptr<Linear>> Pack(const AlignedBuffer& weight, int64_t rows,
                                               int64_t in, const AlignedBuffer& bias);

  const Checkpoint& checkpoint_;
  const Backend& backend_;
  const bool input_major_;
  int64_t parameter_count_ = 0;
  int64_t bytes_ = 0;
};

}  // namespace heed

#endif  // HEED_MODEL_TRANSFORMER_WEIGHT_READER_H_
