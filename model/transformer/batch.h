// What every model does with a batch, whatever its arithmetic: keeping account of the slices that
// still run and of their rows, attention over their caches, and handing rows to those who want
// them.
#ifndef HEED_MODEL_TRANSFORMER_BATCH_H_
#define HEED_MODEL_TRANSFORMER_BATCH_H_

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "model/base/aligned_buffer.h"
#include "model/base/matrix.h"
#include "model/kernels/backend.h"
#include "model/transformer/language_model.h"

namespace heed {

// A slice that still runs, and its rows in the model's matrices.
struct LiveSlice {
  SequenceSlice* slice;
  int64_t row;
  int64_t logits_row;  // in the caller's matrix
  int64_t first = 0;   // of its tokens that has a row still, and so have all behind it

  int64_t tokens() const { return static_cast<int64_t>(slice->tokens.size()); }
  int64_t rows() const { return tokens() - first; }
  int64_t first_position() const { return slice->cache->size() + first; }
  ForwardObserver* observer() const {
    return slice->plan != nullptr ? slice->plan->observer : nullptr;
  }
  ForwardEditor* editor() const { return slice->plan != nullptr ? slice->plan->editor : nullptr; }
};

// Queries [n_tokens, n_heads * head_dim], keys and values [n_tokens, n_kv_heads * head_dim].
struct AttentionInputs {
  ConstMatrixRef queries, keys, values;
};

// The slices of one Forward call that nobody has stopped. The rows of a model's matrices are the
// tokens of these slices, in order, until those are dropped whose rows nobody reads. Kept from call
// to call for its memory, so that a step like the one before allocates nothing.
class LiveBatch {
 public:
  // Begins a call. INTERNAL when a cache has no room for its new tokens, `logits` not one row for
  // each that is wanted, or slices start at different layers.
  absl::Status Start(absl::Span<SequenceSlice> batch, MatrixRef logits);

  const std::vector<LiveSlice>& slices() const { return live_; }
  int64_t n_tokens() const { return n_tokens_; }
  int first_layer() const { return first_layer_; }

  // A matrix of a row for each token that has one. What was in the buffer is lost when it has to
  // grow.
  MatrixRef Rows(AlignedBuffer& buffer, int64_t cols) const {
    buffer.Grow(n_tokens_ * cols);
    return {buffer.data(), n_tokens_, cols};
  }

  // Takes out the slices whose call has ended, and their rows out of `kept`, matrices without gaps
  // that are still needed.
  void DropStopped(absl::Span<const MatrixRef> kept);

  // After the attention of the last layer: takes out the rows that nothing reads any more, out of
  // `kept` as well: those before a slice's first that is asked for. x is the stream that entered
  // the layer, where they are looked at for numbers that are not finite.
  void DropUnread(int last_layer, ConstMatrixRef x, absl::Span<const MatrixRef> kept);

  // Appends keys and values to the caches' layer, and fills `mixed` [n_tokens, n_heads * head_dim]
  // with what the queries read there. Observers get the rows they want.
  void Attend(const Backend& backend, const AttentionShape& shape, int layer,
              const AttentionInputs& inputs, MatrixRef mixed);

  // Lets editors change the rows of a site, [n_tokens, SiteWidth], then observers see them, after
  // `settle` has made of a slice's rows what they are going to be.
  void Visit(
      Site site, int layer, MatrixRef rows,
      absl::FunctionRef<void(MatrixRef rows)> settle = [](MatrixRef) {}) const;

  // Whether anybody edits or observes the site there.
  bool IsVisited(Site site, int layer) const;

  // Tells each slice which of its rows of x, the stream after the last layer, is not finite, if it
  // has not been told of an earlier one.
  void FindNonfinite(ConstMatrixRef x) const;

  // Gives the final hidden states to the observers that want them. `finish` turns rows of x into
  // such states, in place; they are copied to `scratch`, of x's shape, before.
  void ReportHiddenStates(ConstMatrixRef x, MatrixRef scratch,
                          absl::FunctionRef<void(MatrixRef rows)> finish) const;

  // Calls unembed(rows, logits) for the wanted rows of x, copied to `scratch`, of x's shape, and
  // their rows of the caller's matrix. As few calls as the gaps allow that stopped slices leave
  // there: the unembedding is the largest weight.
  void Unembed(ConstMatrixRef x, MatrixRef scratch, MatrixRef logits,
               absl::FunctionRef<void(MatrixRef rows, MatrixRef logits)> unembed) const;

  // The new tokens are in the caches now.
  void Commit() const;

 private:
  std::vector<LiveSlice> live_;
  int64_t n_tokens_ = 0;  // that have rows
  int first_layer_ = 0;
  // Of the current layer, by slice; pages_ may be longer.
  std::vector<std::vector<char*>> pages_;
  std::vector<AttentionSlice> attention_;
};

}  // namespace heed

#endif  // HEED_MODEL_TRANSFORMER_BATCH_H_
