#include "model/inspect/activations.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "model/inspect/attention_read.h"
#include "model/inspect/row_products.h"
#include "model/kernels/double_rows.h"
#include "model/kernels/parallel.h"

namespace heed {
namespace {

std::vector<int64_t> AllPositions(const Trace& trace) {
  std::vector<int64_t> all(trace.size());
  std::iota(all.begin(), all.end(), int64_t{0});
  return all;
}

AlignedBuffer Copy(ConstMatrixRef x) {
  AlignedBuffer copy(x.rows * x.cols);
  for (int64_t r = 0; r < x.rows; ++r) {
    std::copy_n(x.Row(r).data(), x.cols, copy.data() + r * x.cols);
  }
  return copy;
}

// The stream after attention, by the step that the forward pass takes.
AlignedBuffer AddAttention(const LanguageModel& model, const LayerAttention& attention,
                           ConstMatrixRef residual, absl::Span<const int64_t> positions) {
  const HalfParts& half = attention.half();
  const Backend& backend = *model.parts().backend;
  const bool is_edited =
      attention.trace().editor() != nullptr &&
      attention.trace().editor()->EditsSite(Site::kAttentionOut, attention.layer());
  AlignedBuffer mid = Copy(residual);
  const MatrixRef x(mid.data(), residual.rows, residual.cols);
  if (half.inside.present() || is_edited) {
    AlignedBuffer out = attention.Out(positions);
    backend.Add({out.data(), x.rows, x.cols}, x);
  } else {
    AlignedBuffer mixed = attention.Mixed(positions);
    half.out->Apply({mixed.data(), x.rows, half.out->in_features()}, x, Linear::Write::kAccumulate);
  }
  if (half.after.present()) backend.Normalize(half.after.kind, half.after.parameters, x, x);
  const ForwardEditor* const editor = attention.trace().editor();
  if (editor != nullptr && editor->EditsSite(Site::kResidualMid, attention.layer())) {
    editor->EditSite(Site::kResidualMid, attention.layer(), 0, x);
  }
  return mid;
}

}  // namespace

absl::string_view WhyNotInModel(const ModelConfig& config, Site site) {
  if (!HasSite(config, site)) return "it has no feed-forward halves";
  const bool is_score = site == Site::kQuery || site == Site::kKey;
  if (is_score && config.mixing != MixingPattern::kAttention) {
    return "its weights are not made of queries and keys";
  }
  return "";
}

absl::Status SiteNotKept(absl::string_view whose, Site site, int layer) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "SITE_NOT_KEPT",
                   absl::StrCat(whose, " does not keep ", SiteName(site), " of layer ", layer,
                                "; open one that does"),
                   {{"site", std::string(SiteName(site))}});
}

SiteSet SitesNeeded(const ModelConfig& config, Site site) {
  switch (site) {
    case Site::kQuery:
    case Site::kKey:
    case Site::kValue:
    case Site::kMixed:
    case Site::kAttentionOut:
      return {};
    case Site::kMlpOut:
      if (config.norm_placement == NormPlacement::kPost) return {Site::kMlpOut};
      return {Site::kResidual};
    case Site::kResidual:
    case Site::kResidualMid:
      return {Site::kResidual};
  }
  return {};
}

SiteSet SitesUnderEdits(const ModelConfig& config, SiteSet sites, const ForwardEditor* editor) {
  if (editor == nullptr || !sites.Has(Site::kResidual) || !HasSite(config, Site::kMlpOut)) {
    return sites;
  }
  for (int layer = 1; layer <= config.n_layers; ++layer) {
    if (editor->EditsSite(Site::kResidual, layer)) sites.Add(Site::kMlpOut);
  }
  return sites;
}

absl::Status CheckReadable(const LanguageModel& model, const Trace& trace, Site site, int layer) {
  if (const auto why = WhyNotInModel(model.config(), site); !why.empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "SITE_NOT_IN_MODEL",
                     absl::StrCat("this model has no ", SiteName(site), ": ", why));
  }
  if (trace.Has(site, layer) || site == Site::kMixed || site == Site::kAttentionOut) {
    return absl::OkStatus();
  }
  if (!trace.Has(Site::kResidual, layer)) return SiteNotKept("the trace", Site::kResidual, layer);
  if (site == Site::kResidualMid) return absl::OkStatus();
  const ForwardEditor* const editor = trace.editor();
  if (model.parts().layers[layer].mlp.after.present() ||
      (editor != nullptr && editor->EditsSite(Site::kResidual, layer + 1)) ||
      !trace.Has(Site::kResidual, layer + 1)) {
    return SiteNotKept("the trace", site, layer);
  }
  return absl::OkStatus();
}

absl::StatusOr<SiteValues> ReadSite(const LanguageModel& model, const Trace& trace, Site site,
                                    int layer) {
  HEED_RETURN_IF_ERROR(CheckReadable(model, trace, site, layer));
  if (trace.Has(site, layer)) return SiteValues(trace.SiteRows(site, layer));
  const LayerAttention attention(model, trace, layer);
  const std::vector<int64_t> all = AllPositions(trace);
  if (site == Site::kMixed) {
    return SiteValues(attention.Mixed(all), trace.size(), model.config().query_width());
  }
  const int64_t width = model.config().width;
  if (site == Site::kAttentionOut) return SiteValues(attention.Out(all), trace.size(), width);
  if (site == Site::kResidualMid) {
    return SiteValues(AddAttention(model, attention, trace.SiteRows(Site::kResidual, layer), all),
                      trace.size(), width);
  }
  HEED_ASSIGN_OR_RETURN(const SiteValues mid, ReadSite(model, trace, Site::kResidualMid, layer));
  AlignedBuffer difference = Copy(trace.SiteRows(Site::kResidual, layer + 1));
  for (int64_t i = 0; i < difference.size(); ++i) difference.data()[i] -= mid.view().data[i];
  return SiteValues(std::move(difference), trace.size(), width);
}

std::vector<float> Norms(ConstMatrixRef x, int64_t run) {
  std::vector<float> norms;
  for (int64_t r = 0; r < x.rows; ++r) {
    const std::vector<double> row(x.Row(r).begin(), x.Row(r).end());
    for (int64_t begin = 0; begin < x.cols; begin += run) {
      const double square = BestDoubleRows().sum_squares(row.data() + begin, run);
      norms.push_back(static_cast<float>(std::sqrt(square)));
    }
  }
  return norms;
}

// Rows of b a few at a time, which stay in the cache while all of a go by.
std::vector<float> Cosines(ConstMatrixRef a, ConstMatrixRef b) {
  constexpr int64_t kRowsAtOnce = 64;
  const std::vector<float> a_norms = Norms(a, a.cols), b_norms = Norms(b, b.cols);
  std::vector<float> cosines(a.rows * b.rows);
  const int64_t blocks = (b.rows + kRowsAtOnce - 1) / kRowsAtOnce;
  ParallelFor(blocks, a.rows * b.rows * a.cols > 1 << 16, [&](int64_t block) {
    const int64_t begin = block * kRowsAtOnce, count = std::min(kRowsAtOnce, b.rows - begin);
    const RowProducts products(count, b.cols, [&](int64_t j) { return b.Row(begin + j); });
    double dots[kRowsAtOnce];
    for (int64_t i = 0; i < a.rows; ++i) {
      const std::vector<double> x(a.Row(i).begin(), a.Row(i).end());
      products.With(x, dots);
      for (int64_t j = 0; j < count; ++j) {
        const double lengths = double{a_norms[i]} * b_norms[begin + j];
        cosines[i * b.rows + begin + j] =
            lengths == 0 ? 0.0f : static_cast<float>(std::clamp(dots[j] / lengths, -1.0, 1.0));
      }
    }
  });
  return cosines;
}

}  // namespace heed
