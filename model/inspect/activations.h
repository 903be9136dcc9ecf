// The vectors of a trace, and what they look like: lengths, angles, principal components.
#ifndef HEED_MODEL_INSPECT_ACTIVATIONS_H_
#define HEED_MODEL_INSPECT_ACTIVATIONS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/base/aligned_buffer.h"
#include "model/base/matrix.h"
#include "model/checkpoint/model_config.h"
#include "model/inspect/trace.h"
#include "model/transformer/language_model.h"

namespace heed {

// A matrix that owns its values or borrows a trace's.
class SiteValues {
 public:
  explicit SiteValues(ConstMatrixRef borrowed) : view_(borrowed) {}
  SiteValues(AlignedBuffer values, int64_t rows, int64_t cols)
      : own_(std::move(values)), view_(own_.data(), rows, cols) {}
  ConstMatrixRef view() const { return view_; }

 private:
  AlignedBuffer own_;
  ConstMatrixRef view_;
};

// Why a model has nothing to show at a site: no feed-forward halves; or weights that are not made
// of queries and keys, so that what its forward pass has in their place is no vector of a word's.
// Empty where there is something.
absl::string_view WhyNotInModel(const ModelConfig& config, Site site);

// FAILED_PRECONDITION (SITE_NOT_KEPT): `whose` trace lacks what is to be read from it.
absl::Status SiteNotKept(absl::string_view whose, Site site, int layer);

// Whether ReadSite can: FAILED_PRECONDITION (reason SITE_NOT_IN_MODEL, SITE_NOT_KEPT) with what
// would help.
absl::Status CheckReadable(const LanguageModel& model, const Trace& trace, Site site, int layer);

// The rows of a site at one layer, [size, SiteWidth]: kept by the trace, or computed again with the
// bits of the forward pass. Site::kMlpOut is, where it is not kept, the difference of the stream
// after and before it, which rounding leaves within a few units of the stream's last place. Errors
// of CheckReadable.
absl::StatusOr<SiteValues> ReadSite(const LanguageModel& model, const Trace& trace, Site site,
                                    int layer);

// Sites that a trace must keep so that ReadSite can read `site`.
SiteSet SitesNeeded(const ModelConfig& config, Site site);

// `sites`, and what a trace of a run under `editor` must keep besides so that what those of an
// unedited run give can be read of it: where the stream is edited, what a feed-forward half wrote
// is not the difference of the stream after and before it. `editor` may be null.
SiteSet SitesUnderEdits(const ModelConfig& config, SiteSet sites, const ForwardEditor* editor);

// Euclidean lengths of each row's runs of `run` elements, [rows, cols / run].
std::vector<float> Norms(ConstMatrixRef x, int64_t run);

// Cosines of the rows of a with those of b, [a.rows, b.rows]; 0 with a row of zeros.
std::vector<float> Cosines(ConstMatrixRef a, ConstMatrixRef b);

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_ACTIVATIONS_H_
