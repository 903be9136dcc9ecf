// The arithmetic of a transformer, one narrow operation each. Two implementations: the fast one
// (oneDNN for linear layers in f32, our own vector kernels for the rest) and a scalar twin that
// says in plain loops what each operation means. Tests hold the two against each other.
//
// All methods are const and thread-safe. Every row of a result depends only on that row's inputs:
// not on how many rows are computed together, nor on the number of threads.
#ifndef HEED_MODEL_KERNELS_BACKEND_H_
#define HEED_MODEL_KERNELS_BACKEND_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/base/cpu.h"
#include "model/base/layer_kinds.h"
#include "model/base/matrix.h"
#include "model/kernels/kv_page.h"
#include "model/kernels/top_k.h"

namespace heed {

// What a packed layer is, but for its values.
struct LinearForm {
  int64_t rows = 0;   // output features
  int64_t cols = 0;   // input features
  int bits = 32;      // of a weight: 32 (f32), 16 (half precision), 8 or 4
  int64_t group = 0;  // 8 and 4 bits: weights that share a scale; those of a file's blocks, or more
  bool has_bias = false;

  bool operator==(const LinearForm&) const = default;
};

// Makes features [begin, end) of a row of activations, to `out`.
using RowMaker = absl::FunctionRef<void(int64_t row, int64_t begin, int64_t end, float* out)>;

// y = x W^T + b with W [out_features, in_features] packed once and held once.
class Linear {
 public:
  virtual ~Linear() = default;

  virtual int64_t in_features() const = 0;
  virtual int64_t out_features() const = 0;
  virtual int64_t weight_bytes() const = 0;

  // Weights, scales and bias as they lie in memory: what another layer of this form, from
  // Backend::NewLinear, must have copied into its own to be this one. The same number of spans, of
  // the same sizes, for every layer of the form.
  virtual const LinearForm& form() const = 0;
  virtual std::vector<absl::Span<char>> storage() = 0;

  enum class Write { kOverwrite, kAccumulate };
  // y [rows, out_features] = or += x [rows, in_features] W^T + b; += has the bits of a product that
  // is added when it is done. Views with gaps between rows may differ from dense ones in the last
  // digits.
  virtual void Apply(ConstMatrixRef x, MatrixRef y, Write write = Write::kOverwrite) const = 0;

  // The same of y.rows rows that are made where they are used, so that no matrix of them goes to
  // memory and back: `make` is called for each number once, from several threads at once. False,
  // and nothing is done, where that spares nothing.
  virtual bool ApplyMade(RowMaker make, MatrixRef y, Write write) const { return false; }

  // Row `row` of W, exactly as it was given: lets a tied embedding be looked up in the packed
  // unembedding.
  virtual void CopyWeightRow(int64_t row, absl::Span<float> out) const = 0;
};

// Rows of a weight [rows, cols] that come as they are asked for, so that they need not all be in
// memory at once. `read` fills `out`, whole rows, with those from `first` on; it is called from
// several threads at once.
struct WeightRows {
  int64_t rows = 0;  // output features
  int64_t cols = 0;  // input features
  std::function<absl::Status(int64_t first, absl::Span<float> out)> read;
};

// WeightRows::read of a weight that is in memory.
class RowsInMemory {
 public:
  explicit RowsInMemory(ConstMatrixRef weight) : weight_(weight) {}
  absl::Status operator()(int64_t first, absl::Span<float> out) const {
    for (size_t done = 0; done < out.size(); done += weight_.cols, ++first) {
      std::copy_n(weight_.Row(first).data(), weight_.cols, out.data() + done);
    }
    return absl::OkStatus();
  }

 private:
  const ConstMatrixRef weight_;
};

// Rows in the blocks of a GGUF file (ggml's Q8_0 and Q4_0), that come in the same way: each row in
// runs of 32 values, of which a block holds a half-precision scale d and then, with 8 bits, 32
// signed bytes q for d * q; with 4 bits, 16 bytes whose low halves are the first 16 values and
// whose high halves the others, each d * (q - 8).
struct BlockRows {
  static constexpr int64_t kBlockValues = 32;

  int bits = 8;      // or 4
  int64_t rows = 0;  // output features
  int64_t cols = 0;  // input features, a multiple of 32
  std::function<absl::Status(int64_t first, absl::Span<char> out)> read;

  static int64_t BlockBytes(int bits) { return 2 + kBlockValues * bits / 8; }
  int64_t row_bytes() const { return cols / kBlockValues * BlockBytes(bits); }
};

// Gain and bias of a norm, [width] each; bias is empty for RMSNorm.
struct NormParameters {
  absl::Span<const float> weight;
  absl::Span<const float> bias;
  double eps = 1e-5;
};

// One layer's keys and values of one sequence, in pages of kPageTokens consecutive positions. Where
// they lie in each is what kv_page.h says. The span is borrowed.
struct KvPages {
  KvType type = KvType::kF32;
  absl::Span<char* const> pages;  // the layer's part of each
};

// Which rows of an attention layer somebody watches or edits. The spans are borrowed.
struct AttentionRows {
  absl::Span<const int> heads;        // query heads, ascending
  absl::Span<const int64_t> queries;  // positions in the sequence, ascending
  bool have_room = false;             // the sink is asked where to make watched rows (RoomFor)
  bool takes_factors = false;         // the sink takes WatchedRow::factors
  bool empty() const { return heads.empty() || queries.empty(); }
};

// The exact post-softmax weights of one row, F32 [keys up to its own; all of them where attention
// is not causal]; those outside the window are 0. Where a sink takes factors, a row's weights may
// be yet to be multiplied by some (top_k.h): who keeps only a few of them spares a pass.
struct WatchedRow {
  int head;
  int64_t query;
  absl::Span<const float> weights;
  KeyFactors factors = NoFactors();
};

// Receives watched rows, from several threads at once.
class AttentionRowSink {
 public:
  virtual ~AttentionRowSink() = default;
  // Where a row is best made, so that it need not be copied there; [keys], and what lies behind the
  // row's own may be overwritten. Too short for whole pages: anywhere. Asked before the row is
  // computed, if AttentionRows::have_room says so; an edited row is made elsewhere in any case.
  virtual absl::Span<float> RoomFor(int /*head*/, int64_t /*query*/) { return {}; }
  // Some rows, each once. Valid during the call.
  virtual void OnRows(absl::Span<const WatchedRow> rows) = 0;
};

// Which keys an edited row sees: as the shape says, or with the mask of the other kind.
enum class AttentionMask { kOwn, kCausal, kBidirectional };

// Changes rows, from several threads at once.
class AttentionRowEditor {
 public:
  virtual ~AttentionRowEditor() = default;
  // Whether a row is to be edited at all; asked for each of AttentionSlice::edited.
  virtual bool Edits(int head, int64_t query) const { return true; }
  // A row can see no keys past the last new one.
  virtual AttentionMask MaskOf(int head, int64_t query) const { return AttentionMask::kOwn; }
  // What EditScores multiplies all of the row's scores by, if that and nothing else is how the row
  // is edited: then it may be computed along with those that are not, and is asked nothing further.
  // Such a factor is finite, and so is every score multiplied by it.
  virtual std::optional<float> ScoreFactor(int head, int64_t query) const { return std::nullopt; }
  // The row's scores before the softmax, one for each weight that a sink would get: scaled, capped,
  // lowered by the slope; -inf for a key that the row does not see.
  virtual void EditScores(int head, int64_t query, absl::Span<float> scores) const = 0;
  // The weights after it.
  virtual void EditWeights(int head, int64_t query, absl::Span<float> weights) const = 0;
};

// One sequence's share of an attention layer: new queries against pages that already hold the new
// keys and values.
struct AttentionSlice {
  ConstMatrixRef query;  // [n_new, n_heads * head_dim]
  MatrixRef output;      // [n_new, n_heads * head_dim]
  KvPages pages;
  int64_t first_position = 0;  // of query row 0; first_position + n_new positions are in the pages
  AttentionRows watched;       // within the new rows; empty: nobody looks
  AttentionRowSink* sink = nullptr;
  AttentionRows edited;  // within the new rows; empty: nobody edits
  const AttentionRowEditor* editor = nullptr;
};

struct AttentionShape {
  int n_heads = 0;
  int n_kv_heads = 0;
  int head_dim = 0;
  float scale = 1;     // multiplies q.k
  bool causal = true;  // row at position p sees keys 0..p; otherwise all keys
  int64_t window = 0;  // a row sees none but those of these keys less than `window` away; 0: all
  float soft_cap = 0;  // a scaled score s becomes soft_cap * tanh(s / soft_cap); 0: stays
  // Causal only, [n_heads]: a score falls by its head's slope for each position of distance (ALiBi:
  // Press et al. 2021, arXiv 2108.12409). Borrowed; empty: it does not.
  absl::Span<const float> slopes;
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string name() const = 0;

  // `bias` [out] or empty. INTERNAL when the library refuses the shape; else errors of `weight`.
  virtual absl::StatusOr<std::unique_ptr<Linear>> PackLinear(
      const WeightRows& weight, absl::Span<const float> bias) const = 0;

  // The same with a weight that is in memory.
  absl::StatusOr<std::unique_ptr<Linear>> PackMatrix(ConstMatrixRef weight,
                                                     absl::Span<const float> bias) const {
    return PackLinear({weight.rows, weight.cols, RowsInMemory(weight)}, bias);
  }

  // The same with the weights rounded to `bits` (16, 8 or 4). `relative_error`, if not null,
  // receives the mean of min(1, |rounded - weight| / |weight|) over the weights that are not 0, and
  // infinity when one is beyond what 16 bits hold.
  // INVALID_ARGUMENT for a weight that is not finite.
  virtual absl::StatusOr<std::unique_ptr<Linear>> PackRounded(const WeightRows& weight,
                                                              absl::Span<const float> bias,
                                                              int bits,
                                                              double* relative_error) const = 0;

  // The same with the very weights of `blocks`. INVALID_ARGUMENT for a scale that is not finite.
  virtual absl::StatusOr<std::unique_ptr<Linear>> PackBlocks(
      const BlockRows& blocks, absl::Span<const float> bias) const = 0;

  // A layer whose storage() has yet to be filled. INVALID_ARGUMENT for a form that no layer of this
  // backend has, RESOURCE_EXHAUSTED when there is no room for it.
  virtual absl::StatusOr<std::unique_ptr<Linear>> NewLinear(const LinearForm& form) const = 0;

  // Names all that the storage of a layer depends on besides its form and values. What was kept
  // under one name is worth nothing under another.
  virtual std::string packing() const = 0;

  // y = norm(x), [rows, width] each; y may be x. LayerNorm: (x - mean) / sqrt(var + eps) * w + b.
  // RMSNorm: x / sqrt(mean(x^2) + eps) * w.
  virtual void Normalize(NormKind kind, const NormParameters& norm, ConstMatrixRef x,
                         MatrixRef y) const = 0;

  // Each head of x [rows, n * head_dim] = norm(the head); the norm's parameters are [head_dim].
  virtual void NormalizeHeads(NormKind kind, const NormParameters& norm, MatrixRef x,
                              int head_dim) const = 0;

  // Rotates the first 2 * pairs dimensions of each head of x [rows, n * head_dim] in pairs
  // (i, i + pairs); row r by the angles whose cosines and sines are cos.Row(r) and sin.Row(r),
  // [rows, pairs].
  virtual void Rotate(MatrixRef x, int head_dim, ConstMatrixRef cos, ConstMatrixRef sin) const = 0;

  // x = act(x).
  virtual void Activate(Activation activation, MatrixRef x) const = 0;

  // y [rows, n] = act(gate_up[:, :n]) * gate_up[:, n:].
  virtual void ActivateGated(Activation activation, ConstMatrixRef gate_up, MatrixRef y) const = 0;

  // Applies a layer to act(x), or, where x is [rows, 2 * in_features], to act(gate) * up as above,
  // with the same bits; x is lost, and so is `room` [rows, in_features], which only a gate needs.
  virtual void ApplyActivated(Activation activation, const Linear& linear, MatrixRef x,
                              MatrixRef room, MatrixRef y, Linear::Write write) const {
    if (x.cols == linear.in_features()) {
      Activate(activation, x);
      return linear.Apply(x, y, write);
    }
    ActivateGated(activation, x, room);
    linear.Apply(room, y, write);
  }

  // x = cap * tanh(x / cap).
  virtual void SoftCap(float cap, MatrixRef x) const = 0;

  // y += x, of one shape.
  virtual void Add(ConstMatrixRef x, MatrixRef y) const = 0;

  // Writes keys and values, [n_new, n_kv_heads * head_dim] each, to the positions from
  // `first_position` on, rounded to the pages' type. What is not finite stays that: with 8 bits,
  // for the whole head.
  virtual void StoreKeysValues(ConstMatrixRef keys, ConstMatrixRef values, int head_dim,
                               int64_t first_position, KvPages pages) const = 0;

  // output = softmax(scale * q k^T) v for every slice and head, the scores changed as the shape
  // says, and edited rows as their editor does besides. Watched rows go to the slice's sink: made
  // of what multiplied the values on the way, they are those weights but for the last digit, and
  // cost what is asked for. No other row exists as a whole.
  virtual void Attend(const AttentionShape& shape,
                      absl::Span<const AttentionSlice> slices) const = 0;
};

// The fast backend, for this machine's best instruction set. Lives for ever.
const Backend* DefaultBackend();

// DefaultBackend(), after the whole process, oneDNN included, was held to the instructions that an
// operator names (HoldProcessTo); so call it once, before anything is computed. Errors as
// HoldProcessTo; FAILED_PRECONDITION where oneDNN has run.
absl::StatusOr<const Backend*> BackendNamed(absl::string_view isa);

// The fast backend on kernels of one instruction set, which this machine must have (CpuFacts::isa).
// For tests.
const Backend* BackendFor(Isa isa);

// The scalar twin: plain loops, double-precision sums. It shares the layout of the pages with the
// fast backend. For tests, and for sums that must not depend on the order of what is added.
const Backend* ReferenceBackend();

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_BACKEND_H_
