#include "server/inspect/activations_call.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "model/inspect/attention_capture.h"
#include "model/inspect/pca.h"
#include "server/calls/codec.h"
#include "server/convert/attention.h"
#include "server/convert/indices.h"
#include "server/convert/intervention.h"
#include "server/convert/model.h"
#include "server/inspect/attention_call.h"
#include "server/inspect/attention_stream.h"

namespace heed {
namespace {

using Form = v1::GetActivationsRequest::FormCase;

constexpr int kDefaultDimensions = 2;
constexpr int kMaxDimensions = 16;

const char* DefinitionOf(Form form) {
  switch (form) {
    case Form::kNorms:
      return "EUCLIDEAN_LENGTH";
    case Form::kCosines:
      return "COSINE";
    case Form::kPca:
      return "PCA";
    default:
      return "";
  }
}

absl::Status CheckSite(const ServedModel& model, Site site) {
  const absl::string_view why = WhyNotInModel(model.model->config(), site);
  if (why.empty()) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kFailedPrecondition, "SITE_NOT_IN_MODEL",
      absl::StrCat("model \"", model.name, "\" has no site ", SiteName(site), ": ", why),
      {{"site", std::string(SiteName(site))}});
}

}  // namespace

absl::StatusOr<SiteSet> ActivationsStream::Check(const Request& request, const ServedModel& model,
                                                 Violations* violations) {
  const ModelConfig& config = model.model->config();
  const std::optional<Site> site = ReadSite("site", request.site(), std::nullopt, violations);
  if (!site.has_value()) return SiteSet();
  CheckIndices("layers", request.layers(), SiteLayers(config, *site), violations);
  const int heads = SiteHeads(config, *site);
  if (heads == 0 && !request.heads().empty()) {
    violations->Add("heads", absl::StrCat("are set, and ", SiteName(*site),
                                          " is not cut into heads; leave them out"));
  } else if (heads > 0) {
    CheckIndices("heads", request.heads(), heads, violations);
  }
  if (request.has_pca() && request.pca().has_dimensions()) {
    CheckInRange<int64_t>("pca.dimensions", request.pca().dimensions(), 1, kMaxDimensions,
                          violations);
  }
  HEED_RETURN_IF_ERROR(CheckSite(model, *site));
  return SitesNeeded(config, *site);
}

absl::Status ActivationsStream::CheckLength(const Request& request, const ModelConfig& config,
                                            int64_t n_tokens) {
  const Site site = *SiteOf(request.site());
  HEED_ASSIGN_OR_RETURN(
      const std::vector<int64_t> positions,
      ResolvePositions("positions", request.positions(), n_tokens, AllPositions(n_tokens)));
  if (request.form_case() == Form::kPca && positions.size() < 2) {
    const bool chosen = request.positions_size() > 0;
    return InvalidFields({{chosen ? "positions" : "prompt",
                           chosen ? "is one; principal components need at least two"
                                  : "has one token; principal components need at least two"}});
  }
  int64_t columns = SiteWidth(config, site);
  if (request.has_cosines()) {
    const bool has_other = !request.cosines().other_trace_id().empty();
    columns = has_other ? config.context_window : static_cast<int64_t>(positions.size());
  }
  return CheckAttentionBytes(4 * columns, kMaxTileBytes);
}

absl::StatusOr<std::unique_ptr<ActivationsStream>> ActivationsStream::Create(
    const Request& request, ReadableRun* run, const StopSignal* stop) {
  const ModelConfig& config = run->model->model->config();
  std::unique_ptr<ActivationsStream> stream(new ActivationsStream(request, run, stop));
  stream->site_ = *SiteOf(request.site());
  stream->layers_ = ResolveIndices(request.layers(), SiteLayers(config, stream->site_));
  const int heads = SiteHeads(config, stream->site_);
  stream->heads_ = heads == 0 ? std::vector<int>{0} : ResolveIndices(request.heads(), heads);
  stream->head_width_ = heads == 0 ? SiteWidth(config, stream->site_) : config.head_dim;
  const int64_t n_tokens = run->run->prompt.size();
  HEED_ASSIGN_OR_RETURN(stream->positions_, ResolvePositions("positions", request.positions(),
                                                             n_tokens, AllPositions(n_tokens)));
  if (!request.cosines().other_trace_id().empty()) {
    HEED_ASSIGN_OR_RETURN(stream->other_, run->traces->Find(request.cosines().other_trace_id()));
    HEED_RETURN_IF_ERROR(CheckSite(*stream->other_->model, stream->site_));
    const ModelConfig& other = stream->other_->model->model->config();
    if (SiteWidth(other, stream->site_) != SiteWidth(config, stream->site_) ||
        other.n_layers != config.n_layers) {
      return InvalidFields({{"cosines.other_trace_id",
                             "is of a model of another shape; cosines need vectors of one width "
                             "and as many layers"}});
    }
  }
  return stream;
}

absl::StatusOr<bool> ActivationsStream::Next(Response* out) {
  if (!header_sent_) {
    header_sent_ = true;
    FillHeader(out->mutable_header());
    return true;
  }
  const int64_t n_positions = static_cast<int64_t>(positions_.size());
  if (layer_ < layers_.size()) {
    if (row_ == 0) HEED_RETURN_IF_ERROR(Compute(layers_[layer_]));
    const int64_t rows = std::max<int64_t>(1, kMaxTileBytes / (4 * columns_));
    const int64_t end = std::min(row_ + rows, n_positions);
    v1::ActivationBlock* const block = out->mutable_block();
    block->set_layer(layers_[layer_]);
    block->mutable_positions()->Assign(positions_.begin() + row_, positions_.begin() + end);
    FillTensor(absl::MakeConstSpan(values_).subspan(row_ * columns_, (end - row_) * columns_),
               {end - row_, columns_}, block->mutable_values());
    block->mutable_explained_variance()->Assign(explained_.begin(), explained_.end());
    ++block_count_;
    row_ = end < n_positions ? end : 0;
    if (row_ == 0) ++layer_;
    return true;
  }
  if (end_sent_) return false;
  end_sent_ = true;
  out->mutable_end()->set_block_count(block_count_);
  FillTimings(run_->tokenize_time, run_->timings, out->mutable_end()->mutable_timings());
  return true;
}

void ActivationsStream::FillHeader(v1::ActivationsHeader* out) const {
  FillProvenance(*run_, out->mutable_provenance());
  out->mutable_provenance()->set_definition(DefinitionOf(request_.form_case()));
  FillPromptInfo(run_->run->prompt, *run_->model, out->mutable_prompt());
  out->set_site(request_.site());
  out->mutable_layers()->Assign(layers_.begin(), layers_.end());
  if (SiteHeads(run_->model->model->config(), site_) > 0) {
    out->mutable_heads()->Assign(heads_.begin(), heads_.end());
  }
  out->mutable_positions()->Assign(positions_.begin(), positions_.end());
  int64_t columns = ChosenWidth();
  switch (request_.form_case()) {
    case Form::kNorms:
      columns = static_cast<int64_t>(heads_.size());
      break;
    case Form::kCosines:
      columns =
          other_.has_value() ? other_->run->prompt.size() : static_cast<int64_t>(positions_.size());
      break;
    case Form::kPca:
      columns = request_.pca().has_dimensions() ? request_.pca().dimensions() : kDefaultDimensions;
      columns = std::min(columns, ChosenWidth());
      break;
    default:
      break;
  }
  out->set_total_bytes(4 * columns * static_cast<int64_t>(layers_.size() * positions_.size()));
}

namespace {

// Rows `positions` and the columns of `heads` of a matrix.
AlignedBuffer Choose(ConstMatrixRef from, absl::Span<const int64_t> positions,
                     absl::Span<const int> heads, int64_t head_width) {
  AlignedBuffer chosen(static_cast<int64_t>(positions.size() * heads.size()) * head_width);
  float* out = chosen.data();
  for (int64_t position : positions) {
    for (int head : heads) {
      const auto part = from.Row(position).subspan(head * head_width, head_width);
      out = std::copy(part.begin(), part.end(), out);
    }
  }
  return chosen;
}

}  // namespace

absl::StatusOr<AlignedBuffer> ActivationsStream::ChosenRows(int layer) const {
  HEED_ASSIGN_OR_RETURN(const SiteValues all,
                        ReadSite(*run_->model->model, *run_->run->trace, site_, layer));
  return Choose(all.view(), positions_, heads_, head_width_);
}

absl::Status ActivationsStream::Compute(int layer) {
  HEED_ASSIGN_OR_RETURN(const AlignedBuffer chosen, ChosenRows(layer));
  const int64_t n_positions = static_cast<int64_t>(positions_.size());
  const ConstMatrixRef rows(chosen.data(), n_positions, ChosenWidth());
  explained_.clear();
  switch (request_.form_case()) {
    case Form::kNorms:
      values_ = Norms(rows, head_width_);
      break;
    case Form::kCosines: {
      if (!other_.has_value()) {
        values_ = Cosines(rows, rows);
        break;
      }
      HEED_ASSIGN_OR_RETURN(const SiteValues all,
                            ReadSite(*other_->model->model, *other_->run->trace, site_, layer));
      const AlignedBuffer theirs =
          Choose(all.view(), AllPositions(all.view().rows), heads_, head_width_);
      values_ = Cosines(rows, ConstMatrixRef(theirs.data(), all.view().rows, ChosenWidth()));
      break;
    }
    case Form::kPca: {
      const int64_t asked =
          request_.pca().has_dimensions() ? request_.pca().dimensions() : kDefaultDimensions;
      HEED_ASSIGN_OR_RETURN(
          PrincipalComponents components,
          Pca(rows, static_cast<int>(std::min<int64_t>(asked, ChosenWidth())), stop_));
      values_ = std::move(components.coordinates);
      explained_ = std::move(components.explained);
      break;
    }
    default:
      values_.assign(chosen.data(), chosen.data() + n_positions * ChosenWidth());
      break;
  }
  columns_ = static_cast<int64_t>(values_.size()) / n_positions;
  return absl::OkStatus();
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* BeginActivations(const ServiceContext& context,
                                                             grpc::CallbackServerContext* call,
                                                             const grpc::ByteBuffer& request) {
  v1::GetActivationsRequest parsed;
  const absl::Status status = ParseRequest(request, &parsed);
  if (!status.ok()) return ReadStreamCall<ActivationsStream>::Begin(context, call, status);
  return ReadStreamCall<ActivationsStream>::Begin(context, call, std::move(parsed));
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* BeginAttention(const ServiceContext& context,
                                                           grpc::CallbackServerContext* call,
                                                           const grpc::ByteBuffer& request) {
  v1::GetAttentionRequest parsed;
  const absl::Status status = ParseRequest(request, &parsed);
  if (!status.ok()) return ReadStreamCall<AttentionStream>::Begin(context, call, status);
  if (IsPlainAttention(parsed)) return AttentionCall::Begin(context, call, std::move(parsed));
  return ReadStreamCall<AttentionStream>::Begin(context, call, std::move(parsed));
}

}  // namespace heed
