// Reads the tensors of a checkpoint, packs them for a backend, and counts them.
#ifndef HEED_MODEL_TRANSFORMER_WEIGHT_READER_H_
#define HEED_MODEL_TRANSFORMER_WEIGHT_READER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/base/aligned_buffer.h"
#include "model/checkpoint/checkpoint.h"
#include "model/kernels/backend.h"
#include "model/transformer/layer_source.h"
#include "model/transformer/pack_file.h"

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

// How a WeightReader goes about it.
struct WeightReaderOptions {
  WeightFormat format = WeightFormat::kF32;
  bool input_major = false;  // linear weights are stored [in, out]

  // Where packed layers come from instead, and where they are added; null: nowhere. Both outlive
  // the reader.
  PackReader* packed = nullptr;
  PackWriter* copy = nullptr;

  // Told how many parameters have been read so far, on the reader's thread; may be empty.
  std::function<void(int64_t parameters)> progress;
};

// Reads layers in strips, so that hardly more than what is packed of them is in memory. Errors are
// those of Checkpoint::ReadF32, and of a packed copy.
class WeightReader {
 public:
  WeightReader(const Checkpoint& checkpoint, const Backend& backend,
               WeightReaderOptions options = {})
      : checkpoint_(checkpoint), backend_(backend), options_(std::move(options)) {}

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

  // How most weights are held, embeddings apart: "F32", "F16", "INT8", "INT4", "Q8_0", "Q4_0".
  std::string compute_dtype() const;

  // Layers that are held in more bits than was asked for: what the model does, to go on after its
  // name.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  // What becomes of the values of some tensors.
  enum class Form { kF32, kF16, kRounded8, kRounded4, kBlocks8, kBlocks4 };
  static int BitsOf(Form form);
  static double MostError(Form form);  // of rounding, that is borne

  // A layer to be made.
  struct Request {
    LayerSource source;
    std::vector<std::string> bias_names;  // a tensor for each of the source's, or none
    bool is_embedding = false;
  };
  absl::Status ReadTable(const std::string& name, absl::Span<const int64_t> shape,
                         absl::Span<float> out) const;
  Form FormOf(const Request& request) const;
  absl::StatusOr<std::unique_ptr<Linear>> Make(Request request);
  absl::StatusOr<std::unique_ptr<Linear>> TakePacked(const Request& request, Form& form,
                                                     double& lost);
  absl::StatusOr<std::unique_ptr<Linear>> Pack(Request& request, Form& form, double& lost);
  absl::StatusOr<std::unique_ptr<Linear>> PackBlocks(const LayerSource& source, Form form,
                                                     absl::Span<const float> bias);
  absl::StatusOr<std::unique_ptr<Linear>> PackWell(const LayerSource& source, Form& form,
                                                   absl::Span<const float> bias, double& lost);
  void NoteBits(const std::string& name, int bits, int wanted_bits, double lost);
  void Count(const Request& request, const Linear& linear, Form form);
  void CountRead(int64_t parameters);

  const Checkpoint& checkpoint_;
  const Backend& backend_;
  const WeightReaderOptions options_;
  std::map<Form, int64_t> weights_in_;  // how many weights, embeddings apart, are held in each form
  std::vector<std::string> notes_;
  int64_t parameter_count_ = 0;
  int64_t bytes_ = 0;
};

}  // namespace heed

#endif  // HEED_MODEL_TRANSFORMER_WEIGHT_READER_H_
