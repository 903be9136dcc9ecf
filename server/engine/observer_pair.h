// Two observers of one sequence: one of attention rows, one of sites.
#ifndef HEED_SERVER_ENGINE_OBSERVER_PAIR_H_
#define HEED_SERVER_ENGINE_OBSERVER_PAIR_H_

#include <algorithm>
#include <cstdint>

#include "model/transformer/observer.h"

namespace heed {

// Borrows both.
class ObserverPair final : public ForwardObserver {
 public:
  ObserverPair(ForwardObserver* rows, ForwardObserver* sites) : rows_(rows), sites_(sites) {}

  int64_t FirstWatchedPosition() const override {
    return std::min(rows_->FirstWatchedPosition(), sites_->FirstWatchedPosition());
  }
  void OnTruncate(int64_t size) override {
    rows_->OnTruncate(size);
    sites_->OnTruncate(size);
  }
  AttentionRows WantAttention(int layer, int64_t begin, int64_t end) override {
    return rows_->WantAttention(layer, begin, end);
  }
  void OnAttentionRow(int layer, int head, int64_t query,
                      absl::Span<const float> weights) override {
    rows_->OnAttentionRow(layer, head, query, weights);
  }
  void OnAttentionRows(int layer, absl::Span<const WatchedRow> rows) override {
    rows_->OnAttentionRows(layer, rows);
  }
  absl::Span<float> RoomForAttentionRow(int layer, int head, int64_t query) override {
    return rows_->RoomForAttentionRow(layer, head, query);
  }
  bool WantSite(Site site, int layer) override { return sites_->WantSite(site, layer); }
  int64_t FirstPositionBehindAttention() const override {
    return sites_->FirstPositionBehindAttention();
  }
  void OnSite(Site site, int layer, int64_t first_position, ConstMatrixRef rows) override {
    sites_->OnSite(site, layer, first_position, rows);
  }

 private:
  ForwardObserver* const rows_;
  ForwardObserver* const sites_;
};

}  // namespace heed

#endif  // HEED_SERVER_ENGINE_OBSERVER_PAIR_H_
