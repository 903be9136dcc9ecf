// Attention of a trace at any stage, computed again from its queries, keys and values.
#ifndef HEED_MODEL_INSPECT_ATTENTION_READ_H_
#define HEED_MODEL_INSPECT_ATTENTION_READ_H_

#include <cstdint>
#include <vector>

#include "absl/base/call_once.h"
#include "absl/functional/function_ref.h"
#include "absl/types/span.h"
#include "model/base/aligned_buffer.h"
#include "model/base/matrix.h"
#include "model/inspect/trace.h"
#include "model/kernels/edited_attention.h"
#include "model/transformer/language_model.h"

namespace heed {

// How far a score has come on its way to what a head reads.
enum class AttentionStage {
  kRaw,            // q.k
  kScaled,         // times the layer's scale
  kCapped,         // cap * tanh(score / cap) where the model caps; else as scaled
  kMasked,         // less ALiBi's slope; -inf where the row does not look: what the softmax gets
  kWeights,        // the softmax: sums to 1, exactly 0 where the row does not look
  kValueWeighted,  // weight * |v W_O|, the head's columns of W_O (Kobayashi et al. 2020)
  kContribution,   // value-weighted, divided by the row's sum
};

// Reads of one layer. Weights have the bits that the forward pass used, and edited rows are edited
// as there: both call the same kernels on the same numbers. Other stages are summed in double
// precision. Const methods may run at the same time; each uses the team of its thread.
class LayerAttention {
 public:
  // The model is the trace's; both must outlive this.
  LayerAttention(const LanguageModel& model, const Trace& trace, int layer);

  // Called from several threads at once for different rows; the row is valid during the call.
  using RowFn = absl::FunctionRef<void(int head, int64_t query, absl::Span<const float> row)>;

  // Rows of all keys, [size], of each of the heads and queries, ascending lists without repeats.
  void Read(AttentionStage stage, absl::Span<const int> heads, absl::Span<const int64_t> queries,
            RowFn fn) const;

  // The heads' mean or maximum at a stage, query after query on the calling thread.
  enum class Fusion { kMean, kMax };
  void ReadFused(AttentionStage stage, Fusion fusion, absl::Span<const int> heads,
                 absl::Span<const int64_t> queries,
                 absl::FunctionRef<void(int64_t query, absl::Span<const float> row)> fn) const;

  // The blended values of all heads, Site::kMixed, with the bits of the forward pass.
  // [queries, n_heads * head_dim].
  AlignedBuffer Mixed(absl::Span<const int64_t> queries) const;

  // What the half adds to the stream, Site::kAttentionOut. [queries, width].
  AlignedBuffer Out(absl::Span<const int64_t> queries) const;

  // How many keys a row reports, from position 0 on: up to its own position in a causal model, all
  // otherwise, and what an edited mask shows besides. The rest of a row is 0, or -inf.
  int64_t KeyCount(int head, int64_t query) const { return KeysOf(head, query).reported; }

  // |v W_O| of each key in one head, [size].
  std::vector<double> ValueNorms(int head) const;

  // W_O's columns of one head, [width, head_dim], as the forward pass multiplies by them but for
  // the rounding of activations. A mixing model's is the identity.
  std::vector<float> HeadProjection(int head) const;
  // W_O's bias, [width]; zeros where there is none.
  std::vector<float> ProjectionBias() const;

  absl::Span<const float> Query(int head, int64_t query) const;
  absl::Span<const float> Key(int head, int64_t key) const;
  absl::Span<const float> Value(int head, int64_t key) const;

  int layer() const { return layer_; }
  const AttentionShape& shape() const { return parts_.shape; }
  const HalfParts& half() const { return parts_.attention; }
  const Trace& trace() const { return trace_; }

 private:
  void ReadScores(AttentionStage stage, absl::Span<const int> heads,
                  absl::Span<const int64_t> queries, RowFn fn) const;
  void ReadWeights(absl::Span<const int> heads, absl::Span<const int64_t> queries, RowFn fn) const;
  void ReadValueWeighted(AttentionStage stage, absl::Span<const int> heads,
                         absl::Span<const int64_t> queries, RowFn fn) const;
  // Of the product of a query and a key.
  float AtStage(AttentionStage stage, int head, int64_t query, int64_t key, double product) const;
  // Rows [queries, size].
  void Score(AttentionStage stage, int head, absl::Span<const int64_t> queries,
             MatrixRef rows) const;
  void Mask(int head, int64_t query, absl::Span<float> row) const;
  void Attend(int head, absl::Span<const int64_t> queries, AttentionRowSink* sink,
              MatrixRef mixed) const;
  AttentionRows EditedRows() const;
  bool IsEdited(int head, int64_t query) const;
  RowKeys KeysOf(int head, int64_t query) const;
  ConstMatrixRef HeadRows(Site site, int head) const;
  int KvHead(int head) const { return head / (shape().n_heads / shape().n_kv_heads); }
  const std::vector<float>& Projection() const;

  const LanguageModel& model_;
  const Trace& trace_;
  const int layer_;
  const LayerParts& parts_;
  mutable absl::once_flag projection_once_;
  mutable std::vector<float> projection_;  // [width, n_heads * head_dim]
};

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_ATTENTION_READ_H_
