#include "model/inspect/logit_lens.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/aligned_buffer.h"
#include "model/base/error.h"
#include "model/base/finite.h"
#include "model/base/status_macros.h"
#include "model/inspect/activations.h"
#include "model/inspect/prediction.h"
#include "model/kernels/parallel.h"
#include "model/transformer/model_parts.h"

namespace heed {
namespace {

constexpr int64_t kRowsAtOnce = 32;

// Reads streams of the trace with the model's head.
class Lens {
 public:
  Lens(const LanguageModel& model, const Trace& trace) : model_(model), trace_(trace) {}

  // `logits` [positions, vocab_size]. An error unless they are finite.
  absl::Status ReadFinite(int layer, absl::Span<const int64_t> positions, MatrixRef logits) {
    Read(layer, positions, logits);
    for (int64_t i = 0; i < logits.rows; ++i) {
      if (AllFinite(logits.Row(i))) continue;
      return NonfiniteLogits(absl::StatusCode::kFailedPrecondition,
                             absl::StrCat("layer ", layer, "'s"), positions[i]);
    }
    return absl::OkStatus();
  }

  // The same of all logits, whatever they are.
  void Read(int layer, absl::Span<const int64_t> positions, MatrixRef logits) {
    const int64_t width = model_.config().width;
    rows_.Grow(logits.rows * width);
    const MatrixRef x(rows_.data(), logits.rows, width);
    const ConstMatrixRef stream = trace_.SiteRows(Site::kResidual, layer);
    for (int64_t i = 0; i < x.rows; ++i) {
      std::copy_n(stream.Row(positions[i]).data(), width, x.Row(i).data());
    }
    Unembed(model_.parts(), x, logits, scratch_);
  }

 private:
  const LanguageModel& model_;
  const Trace& trace_;
  AlignedBuffer rows_, scratch_;
};

}  // namespace

absl::Status CheckHasHead(const ModelConfig& config) {
  if (config.has_head) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "NO_HEAD",
                   "this model has no head: it makes hidden states, not logits");
}

absl::StatusOr<std::vector<LensCell>> LogitLens(const LanguageModel& model, const Trace& trace,
                                                const LensOptions& options) {
  HEED_RETURN_IF_ERROR(CheckHasHead(model.config()));
  for (int layer : options.layers) {
    HEED_RETURN_IF_ERROR(CheckReadable(model, trace, Site::kResidual, layer));
  }
  const int64_t vocab = model.config().vocab_size;
  const int64_t n_positions = static_cast<int64_t>(options.positions.size());
  std::vector<LensCell> cells(options.layers.size() * n_positions);
  AlignedBuffer final_logits(std::min(n_positions, kRowsAtOnce) * vocab);
  AlignedBuffer logits(final_logits.size());
  Lens lens(model, trace);
  for (int64_t begin = 0; begin < n_positions; begin += kRowsAtOnce) {
    const auto positions = absl::MakeConstSpan(options.positions).subspan(begin, kRowsAtOnce);
    const int64_t count = static_cast<int64_t>(positions.size());
    const MatrixRef final_rows(final_logits.data(), count, vocab);
    const MatrixRef rows(logits.data(), count, vocab);
    HEED_RETURN_IF_ERROR(lens.ReadFinite(model.config().n_layers, positions, final_rows));
    std::vector<Prediction> finals(count);
    ParallelFor(count, true, [&](int64_t i) { finals[i] = Prediction(final_rows.Row(i)); });
    for (size_t l = 0; l < options.layers.size(); ++l) {
      HEED_RETURN_IF_ERROR(lens.ReadFinite(options.layers[l], positions, rows));
      ParallelFor(count, true, [&](int64_t i) {
        const Prediction here(rows.Row(i));
        LensCell& cell = cells[l * n_positions + begin + i];
        cell = {options.layers[l],       positions[i],
                here.Top(options.top_k), {},
                here.Entropy(),          finals[i].DivergenceFrom(here)};
        for (TokenId id : options.follow) cell.followed.push_back(here.Follow(id));
      });
    }
  }
  return cells;
}

absl::StatusOr<std::vector<float>> TraceLogits(const LanguageModel& model, const Trace& trace,
                                               absl::Span<const int64_t> positions) {
  HEED_RETURN_IF_ERROR(CheckHasHead(model.config()));
  const int64_t count = static_cast<int64_t>(positions.size());
  std::vector<float> logits(count * model.config().vocab_size);
  Lens(model, trace)
      .Read(model.config().n_layers, positions, {logits.data(), count, model.config().vocab_size});
  return logits;
}

}  // namespace heed
