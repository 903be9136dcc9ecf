// What a forward pass leaves for later reads: queries, keys and values of every layer, from which
// attention at any stage is computed again, and on request the stream.
#ifndef HEED_MODEL_INSPECT_TRACE_H_
#define HEED_MODEL_INSPECT_TRACE_H_

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/base/aligned_buffer.h"
#include "model/base/matrix.h"
#include "model/checkpoint/model_config.h"
#include "model/inspect/intervention.h"
#include "model/tokenizer/tokenizer.h"
#include "model/transformer/editor.h"
#include "model/transformer/observer.h"
#include "model/transformer/site.h"

namespace heed {

// Sites that a trace keeps at every layer.
class SiteSet {
 public:
  constexpr SiteSet() = default;
  constexpr SiteSet(std::initializer_list<Site> sites) {
    for (Site site : sites) Add(site);
  }
  constexpr void Add(Site site) { bits_ |= 1u << static_cast<int>(site); }
  constexpr bool Has(Site site) const { return (bits_ >> static_cast<int>(site) & 1) != 0; }

 private:
  uint32_t bits_ = 0;
};

// Whatever is chosen, a trace keeps these at every layer, and the stream after the last layer, from
// which the logits of any position are computed again.
inline constexpr SiteSet kTraceSites = {Site::kQuery, Site::kKey, Site::kValue};

// The rows of one site and layer, one for each position.
struct SiteRowStore {
  AlignedBuffer data;  // [capacity, cols]
  int64_t cols = 0;    // 0: not kept
};

// One run of one sequence. Immutable and thread-safe.
class Trace final : public SiteSource {
 public:
  // Of the positions that were run; of a generation all but its last token.
  const std::vector<TokenId>& tokens() const { return tokens_; }
  int64_t size() const { return static_cast<int64_t>(tokens_.size()); }
  // How many of them the sequence began with, SequenceSlice::prompt_tokens; the others were
  // generated.
  int64_t prompt_tokens() const { return prompt_tokens_; }
  // Memory that it holds, what it shares with another trace included.
  int64_t bytes() const;

  bool Has(Site site, int layer) const { return store(site, layer).cols > 0; }
  // [size, SiteWidth]; without columns where it is not kept. Holds what an editor made of it.
  ConstMatrixRef SiteRows(Site site, int layer) const override {
    return {store(site, layer).data.data(), size(), store(site, layer).cols};
  }

  // What changed the run; null: nothing. Reads apply it to what they compute again.
  ForwardEditor* editor() const { return editor_.get(); }

 private:
  friend class TraceRecorder;
  Trace() = default;
  static size_t StoreIndex(Site site, int layer) {
    return static_cast<size_t>(layer) * kSiteCount + static_cast<size_t>(site);
  }
  const SiteRowStore& store(Site site, int layer) const {
    static const SiteRowStore none;
    // Who patches from a trace may have more layers than its model.
    const size_t index = StoreIndex(site, layer);
    const bool is_kept = index < stores_.size() && stores_[index] != nullptr;
    return is_kept ? *stores_[index] : none;
  }

  std::vector<TokenId> tokens_;
  int64_t prompt_tokens_ = 0;
  // [n_layers + 1, kSiteCount]; null: not kept
  std::vector<std::shared_ptr<const SiteRowStore>> stores_;
  std::shared_ptr<ForwardEditor> editor_;
};

// The bytes of a trace of `tokens` positions that keeps `sites` besides kTraceSites.
int64_t TraceBytes(const ModelConfig& config, SiteSet sites, int64_t tokens);

// Records a trace. Sees the run from position 0 on, so none of it may come out of a cache of
// prefixes; or, of a run that goes on from another one, from where it does.
class TraceRecorder final : public ForwardObserver {
 public:
  // Reserves memory for max_tokens positions. RESOURCE_EXHAUSTED (reason OUT_OF_MEMORY) when it is
  // not to be had; FAILED_PRECONDITION (reason SITE_NOT_IN_MODEL) for a site that the model lacks.
  static absl::StatusOr<std::unique_ptr<TraceRecorder>> Create(const ModelConfig& config,
                                                               SiteSet sites, int64_t max_tokens);

  // For a run of all of the base's tokens that computes the layers from `first_layer` on at the
  // positions from `first_position` on. The trace keeps kTraceSites: earlier layers are the base's
  // own memory, earlier positions are copied. RESOURCE_EXHAUSTED (reason OUT_OF_MEMORY).
  static absl::StatusOr<std::unique_ptr<TraceRecorder>> CreateAfter(const ModelConfig& config,
                                                                    const Trace& base,
                                                                    int first_layer,
                                                                    int64_t first_position);

  AttentionRows WantAttention(int, int64_t, int64_t) override { return {}; }
  void OnAttentionRow(int, int, int64_t, absl::Span<const float>) override {}
  void OnTruncate(int64_t size) override { positions_ = std::min(positions_, size); }
  bool WantSite(Site site, int layer) override {
    return own_[Trace::StoreIndex(site, layer)] != nullptr;
  }
  void OnSite(Site site, int layer, int64_t first_position, ConstMatrixRef rows) override;

  // Positions that every layer has seen.
  int64_t positions() const { return positions_; }

  // The trace of `tokens`, of which the recorded positions are kept; once. `editor` is what the run
  // was edited with; `prompt_tokens` 0: all tokens.
  std::shared_ptr<const Trace> Finish(absl::Span<const TokenId> tokens,
                                      std::shared_ptr<ForwardEditor> editor = nullptr,
                                      int64_t prompt_tokens = 0);

 private:
  TraceRecorder(const ModelConfig& config, int64_t max_tokens);
  void MakeStore(const ModelConfig& config, Site site, int layer);

  const int last_layer_;
  const int64_t max_tokens_;
  std::shared_ptr<Trace> trace_;
  std::vector<std::shared_ptr<SiteRowStore>> own_;  // those of the trace's that this fills
  int64_t positions_ = 0;
};

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_TRACE_H_
