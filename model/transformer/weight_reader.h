// Reads the tensors of a checkpoint, packs them for a backend, and counts them.
#ifndef HEED_MODEL_TRANSFORMER_WEIGHT_READER_H_
#define HEED_MODEL_TRANSFORMER_WEIGHT_READER_H_

#include <cstdint>
#include <map>
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

// Rows that are looked up by number, in one of two forms.
struct LookupTable {
  AlignedBuffer values;            // [rows, width], or
  std::unique_ptr<Linear> packed;  // the rows of its weight; null: `values` it is

  bool empty() const { return values.size() == 0 && packed == nullptr; }
  // Copies row `row` of out.size() values.
  void CopyRow(int64_t row, absl::Span<float> out) const;
};

// Errors are those of Checkpoint::ReadF32.
class WeightReader {
 public:
  // `input_major`: linear weights are stored [in, out].
  WeightReader(const Checkpoint& checkpoint, const Backend& backend,
               WeightFormat format = WeightFormat::kF32, bool input_major = false)
      : checkpoint_(checkpoint), backend_(backend), format_(format), input_major_(input_major) {}

  // A table or vector that stays as it is.
  absl::StatusOr<AlignedBuffer> Table(const std::string& name, std::vector<int64_t> shape);

  // The embedding of tokens, [rows, width].
  absl::StatusOr<LookupTable> Embedding(const std::string& name, int64_t rows, int64_t width);

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

  // How most weights of linear layers are held: "F32", "INT8", "INT4", "Q8_0", "Q4_0".
  std::string compute_dtype() const;

  // Layers that are held in more bits than was asked for: what the model does, to go on after its
  // name.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  // What becomes of the values of some tensors.
  enum class Form { kF32, kRounded8, kRounded4, kBlocks8, kBlocks4 };
  static int BitsOf(Form form);

  // Rows as they are stored.
  struct BlockRows {
    BlockRows(int bits, int64_t rows, int64_t cols)
        : matrix{.bits = bits, .rows = rows, .cols = cols, .blocks = {}},
          bytes(rows * matrix.row_bytes()) {
      matrix.blocks = bytes;
    }
    BlockMatrix matrix;
    std::vector<char> bytes;
  };

  absl::Status Read(const std::string& name, absl::Span<const int64_t> shape,
                    absl::Span<float> out);
  absl::Status ReadRows(const std::string& name, int64_t rows, int64_t in, absl::Span<float> out);
  Form FormOf(absl::Span<const std::string> names, bool is_embedding) const;
  absl::Status ReadBlocks(const std::string& name, int64_t rows, int64_t first, BlockRows& out);
  absl::StatusOr<std::unique_ptr<Linear>> PackBlocks(const std::string& name,
                                                     const BlockRows& blocks, Form form,
                                                     absl::Span<const float> bias);
  absl::StatusOr<std::unique_ptr<Linear>> PackF32(const std::string& name,
                                                  const AlignedBuffer& weight, int64_t rows,
                                                  int64_t in, Form form,
                                                  absl::Span<const float> bias);
  absl::StatusOr<std::unique_ptr<Linear>> PackWell(const std::string& name, ConstMatrixRef weight,
                                                   Form& form, absl::Span<const float> bias);
  void NoteBits(const std::string& name, int bits, int wanted_bits, double error);
  void Count(const Linear& linear, Form form);

  const Checkpoint& checkpoint_;
  const Backend& backend_;
  const WeightFormat format_;
  const bool input_major_;
  std::map<Form, int64_t> weights_in_;  // how many weights of linear layers are held in each form
  std::vector<std::string> notes_;
  int64_t parameter_count_ = 0;
  int64_t bytes_ = 0;
};

}  // namespace heed

#endif  // HEED_MODEL_TRANSFORMER_WEIGHT_READER_H_
