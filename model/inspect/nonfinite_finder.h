// An observer that finds where a forward pass stops being finite. Knows neither gRPC nor protobuf.
#ifndef HEED_MODEL_INSPECT_NONFINITE_FINDER_H_
#define HEED_MODEL_INSPECT_NONFINITE_FINDER_H_

#include <cstdint>
#include <optional>

#include "absl/types/span.h"
#include "model/base/finite.h"
#include "model/base/matrix.h"
#include "model/transformer/observer.h"
#include "model/transformer/site.h"

namespace heed {

// Looks at every site. Slow: for a pass that is known to go wrong.
class NonfiniteFinder final : public ForwardObserver {
 public:
  // The first row that is not finite, in the order in which a pass comes by the sites.
  struct Place {
    Site site;
    int layer;  // of the site
    int64_t position;
  };

  AttentionRows WantAttention(int, int64_t, int64_t) override { return {}; }
  void OnAttentionRow(int, int, int64_t, absl::Span<const float>) override {}
  bool WantSite(Site, int) override { return !place_.has_value(); }
  void OnSite(Site site, int layer, int64_t first_position, ConstMatrixRef rows) override {
    for (int64_t r = 0; r < rows.rows && !place_.has_value(); ++r) {
      if (!AllFinite(rows.Row(r))) place_ = Place{site, layer, first_position + r};
    }
  }

  // Nothing when every site was finite: then it is the final norm or the unembedding that is not.
  const std::optional<Place>& place() const { return place_; }

 private:
  std::optional<Place> place_;
};

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_NONFINITE_FINDER_H_
