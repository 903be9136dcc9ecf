#include "model/inspect/trace.h"

#include <algorithm>
#include <new>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "model/base/error.h"

namespace heed {
namespace {

bool IsKept(const ModelConfig& config, SiteSet sites, Site site, int layer) {
  if (site == Site::kResidual && layer == config.n_layers) return true;
  return layer < SiteLayers(config, site) && (kTraceSites.Has(site) || sites.Has(site));
}

// Calls fn(site, layer) for all that is kept.
template <typename Fn>
void ForEachKept(const ModelConfig& config, SiteSet sites, const Fn& fn) {
  for (int layer = 0; layer <= config.n_layers; ++layer) {
    for (Site site : kAllSites) {
      if (IsKept(config, sites, site, layer)) fn(site, layer);
    }
  }
}

absl::Status OutOfMemory() {
  return MakeError(absl::StatusCode::kResourceExhausted, "OUT_OF_MEMORY",
                   "the server has no memory left for this trace; use a shorter prompt or keep "
                   "fewer sites");
}

void CopyRows(ConstMatrixRef from, float* to) {
  for (int64_t r = 0; r < from.rows; ++r) {
    std::copy_n(from.Row(r).data(), from.cols, to + r * from.cols);
  }
}

}  // namespace

int64_t Trace::bytes() const {
  int64_t floats = 0;
  for (const auto& store : stores_) floats += store == nullptr ? 0 : store->data.size();
  return floats * int64_t{sizeof(float)} + size() * int64_t{sizeof(TokenId)};
}

int64_t TraceBytes(const ModelConfig& config, SiteSet sites, int64_t tokens) {
  int64_t floats = 0;
  ForEachKept(config, sites, [&](Site site, int) { floats += SiteWidth(config, site); });
  return tokens * (floats * int64_t{sizeof(float)} + int64_t{sizeof(TokenId)});
}

absl::StatusOr<std::unique_ptr<TraceRecorder>> TraceRecorder::Create(const ModelConfig& config,
                                                                     SiteSet sites,
                                                                     int64_t max_tokens) {
  for (Site site : kAllSites) {
    if (!sites.Has(site) || HasSite(config, site)) continue;
    return MakeError(absl::StatusCode::kFailedPrecondition, "SITE_NOT_IN_MODEL",
                     absl::StrCat("this model has no ", SiteName(site)));
  }
  try {
    auto recorder = absl::WrapUnique(new TraceRecorder(config, max_tokens));
    ForEachKept(config, sites,
                [&](Site site, int layer) { recorder->MakeStore(config, site, layer); });
    return recorder;
  } catch (const std::bad_alloc&) {
    return OutOfMemory();
  }
}

absl::StatusOr<std::unique_ptr<TraceRecorder>> TraceRecorder::CreateAfter(const ModelConfig& config,
                                                                          const Trace& base,
                                                                          int first_layer,
                                                                          int64_t first_position) {
  try {
    auto recorder = absl::WrapUnique(new TraceRecorder(config, base.size()));
    ForEachKept(config, {}, [&](Site site, int layer) {
      const size_t index = Trace::StoreIndex(site, layer);
      if (layer < first_layer) {
        recorder->trace_->stores_[index] = base.stores_[index];
        return;
      }
      recorder->MakeStore(config, site, layer);
      CopyRows(base.SiteRows(site, layer).Rows(0, first_position),
               recorder->own_[index]->data.data());
    });
    return recorder;
  } catch (const std::bad_alloc&) {
    return OutOfMemory();
  }
}

TraceRecorder::TraceRecorder(const ModelConfig& config, int64_t max_tokens)
    : last_layer_(config.n_layers), max_tokens_(max_tokens), trace_(new Trace) {
  trace_->stores_.resize((config.n_layers + 1) * kSiteCount);
  own_.resize(trace_->stores_.size());
}

void TraceRecorder::MakeStore(const ModelConfig& config, Site site, int layer) {
  const int64_t cols = SiteWidth(config, site);
  auto store = std::make_shared<SiteRowStore>();
  *store = {AlignedBuffer(max_tokens_ * cols), cols};
  const size_t index = Trace::StoreIndex(site, layer);
  trace_->stores_[index] = store;
  own_[index] = std::move(store);
}

void TraceRecorder::OnSite(Site site, int layer, int64_t first_position, ConstMatrixRef rows) {
  const int64_t end = std::min(first_position + rows.rows, max_tokens_);
  if (end <= first_position) return;
  SiteRowStore& store = *own_[Trace::StoreIndex(site, layer)];
  CopyRows(rows.Rows(0, end - first_position), store.data.data() + first_position * store.cols);
  if (site == Site::kResidual && layer == last_layer_) positions_ = end;
}

std::shared_ptr<const Trace> TraceRecorder::Finish(absl::Span<const TokenId> tokens,
                                                   std::shared_ptr<ForwardEditor> editor,
                                                   int64_t prompt_tokens) {
  const std::shared_ptr<Trace> trace = std::move(trace_);
  const int64_t size = std::min(positions_, static_cast<int64_t>(tokens.size()));
  trace->tokens_.assign(tokens.begin(), tokens.begin() + size);
  trace->prompt_tokens_ = prompt_tokens == 0 ? size : prompt_tokens;
  trace->editor_ = std::move(editor);
  if (size < max_tokens_) {
    for (const auto& store : own_) {
      if (store == nullptr) continue;
      AlignedBuffer kept(size * store->cols);
      std::copy_n(store->data.data(), kept.size(), kept.data());
      store->data = std::move(kept);
    }
  }
  own_.clear();
  return trace;
}

}  // namespace heed
