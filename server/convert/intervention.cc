#include "server/convert/intervention.h"

#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/base/status_macros.h"
#include "server/convert/request_limits.h"
#include "server/convert/traced_run.h"

namespace heed {
namespace {

constexpr int64_t kMaxInterventions = 256;

std::optional<WeightPreset> ReadPreset(absl::string_view field, v1::WeightPreset preset,
                                       Violations* violations) {
  switch (preset) {
    case v1::WEIGHT_PRESET_LAST_WORD:
      return WeightPreset::kLastWord;
    case v1::WEIGHT_PRESET_UNIFORM:
      return WeightPreset::kUniform;
    case v1::WEIGHT_PRESET_IDENTITY:
      return WeightPreset::kIdentity;
    case v1::WEIGHT_PRESET_FIRST_WORD:
      return WeightPreset::kFirstWord;
    default:
      violations->Add(field, absl::StrCat("is ", static_cast<int>(preset),
                                          "; must be a named value of heed.v1.WeightPreset"));
      return std::nullopt;
  }
}

std::optional<ReplaceMask> ReadMask(absl::string_view field, v1::ReplaceMask::Kind kind,
                                    Violations* violations) {
  switch (kind) {
    case v1::ReplaceMask::KIND_CAUSAL:
      return ReplaceMask{.causal = true};
    case v1::ReplaceMask::KIND_BIDIRECTIONAL:
      return ReplaceMask{.causal = false};
    default:
      violations->Add(field, "must be KIND_CAUSAL or KIND_BIDIRECTIONAL");
      return std::nullopt;
  }
}

// Reads one edit into `out`; nothing is read after a violation.
class EditReader {
 public:
  EditReader(std::string field, const ModelConfig& config, TraceStore* traces,
             Violations* violations, int64_t* source_bytes)
      : field_(std::move(field)),
        config_(config),
        traces_(traces),
        violations_(violations),
        source_bytes_(source_bytes) {}

  absl::Status Read(const v1::Intervention& wire, Intervention* out) {
    switch (wire.edit_case()) {
      case v1::Intervention::kScaleScores:
        out->edit = ScaleScores{wire.scale_scores().beta()};
        break;
      case v1::Intervention::kAddToScores:
        out->edit = AddToScores{wire.add_to_scores().bias()};
        break;
      case v1::Intervention::kKnockOut:
        out->edit = KnockOut{};
        break;
      case v1::Intervention::kSetWeights:
        out->edit =
            SetWeights{{wire.set_weights().weights().begin(), wire.set_weights().weights().end()},
                       wire.set_weights().renormalize()};
        break;
      case v1::Intervention::kWeightPreset:
        Set(ReadPreset(Path("weight_preset"), wire.weight_preset(), violations_), out);
        break;
      case v1::Intervention::kReplaceMask:
        Set(ReadMask(Path("replace_mask.kind"), wire.replace_mask().kind(), violations_), out);
        break;
      case v1::Intervention::kScaleSite:
        if (const auto site = SiteOf("scale_site", wire.scale_site().site(), Site::kMixed)) {
          out->edit = ScaleSite{*site, wire.scale_site().factor()};
        }
        break;
      case v1::Intervention::kMeanSite:
        if (const auto site = SiteOf("mean_site", wire.mean_site().site(), Site::kMixed)) {
          out->edit = MeanSite{*site};
        }
        break;
      case v1::Intervention::kPatchSite:
        return ReadPatch(wire.patch_site(), out);
      case v1::Intervention::kAddVector:
        if (const auto site = SiteOf("add_vector", wire.add_vector().site(), Site::kResidual)) {
          const v1::AddVector& add = wire.add_vector();
          out->edit = AddVector{*site, VectorOf("add_vector.vector", add.vector(), *site),
                                add.has_scale() ? add.scale() : 1.0};
        }
        break;
      case v1::Intervention::kProjectOut:
        if (const auto site = SiteOf("project_out", wire.project_out().site(), Site::kResidual)) {
          out->edit = ProjectOut{
              *site, VectorOf("project_out.direction", wire.project_out().direction(), *site)};
        }
        break;
      case v1::Intervention::EDIT_NOT_SET:
        violations_->Add(field_,
                         "has no edit; set one of scale_scores, add_to_scores, knock_out, "
                         "set_weights, weight_preset, scale_site, mean_site, patch_site, "
                         "add_vector, project_out, replace_mask");
        break;
    }
    return absl::OkStatus();
  }

 private:
  std::string Path(absl::string_view name) const { return absl::StrCat(field_, ".", name); }

  template <typename Edit>
  static void Set(const std::optional<Edit>& edit, Intervention* out) {
    if (edit.has_value()) out->edit = *edit;
  }

  std::optional<Site> SiteOf(absl::string_view edit, v1::Site site, Site fallback) {
    return ReadSite(absl::StrCat(Path(edit), ".site"), site, fallback, violations_);
  }

  std::vector<float> VectorOf(absl::string_view name, const v1::Tensor& tensor, Site site) {
    return ReadVector(Path(name), tensor, SiteWidth(config_, site), violations_);
  }

  absl::Status ReadPatch(const v1::PatchSite& wire, Intervention* out) {
    const auto site = SiteOf("patch_site", wire.site(), Site::kResidual);
    if (wire.trace_id().empty()) {
      violations_->Add(Path("patch_site.trace_id"), "is empty; name a trace");
    }
    CheckSpans(Path("patch_site.source_positions"), wire.source_positions(), violations_);
    if (!site.has_value() || wire.trace_id().empty()) return absl::OkStatus();
    if (traces_ == nullptr) return absl::OkStatus();
    HEED_ASSIGN_OR_RETURN(const TraceStore::Found found, traces_->Find(wire.trace_id()));
    const bool counts = source_bytes_ == nullptr;
    if (!counts) *source_bytes_ += found.run->held_bytes;
    out->edit = PatchSite{*site, counts ? SharedTrace(found.run) : found.run->trace,
                          ReadSpans(wire.source_positions())};
    return absl::OkStatus();
  }

  const std::string field_;
  const ModelConfig& config_;
  TraceStore* const traces_;
  Violations* const violations_;
  int64_t* const source_bytes_;
};

}  // namespace

std::optional<Site> SiteOf(v1::Site site, std::optional<Site> fallback) {
  Violations none;
  return ReadSite("", site, fallback, &none);
}

std::optional<Site> ReadSite(absl::string_view field, v1::Site site, std::optional<Site> fallback,
                             Violations* violations) {
  switch (site) {
    case v1::SITE_RESIDUAL:
      return Site::kResidual;
    case v1::SITE_RESIDUAL_MID:
      return Site::kResidualMid;
    case v1::SITE_ATTENTION_OUTPUT:
      return Site::kAttentionOut;
    case v1::SITE_MLP_OUTPUT:
      return Site::kMlpOut;
    case v1::SITE_QUERY:
      return Site::kQuery;
    case v1::SITE_KEY:
      return Site::kKey;
    case v1::SITE_VALUE:
      return Site::kValue;
    case v1::SITE_MIXED:
      return Site::kMixed;
    case v1::SITE_UNSPECIFIED:
      if (fallback.has_value()) return fallback;
      violations->Add(field, "is missing; must be a named value of heed.v1.Site");
      return std::nullopt;
    default:
      violations->Add(field, absl::StrCat("is ", static_cast<int>(site),
                                          "; must be a named value of heed.v1.Site"));
      return std::nullopt;
  }
}

std::vector<float> ReadVector(absl::string_view field, const v1::Tensor& tensor, int64_t size,
                              Violations* violations) {
  if (tensor.dtype() != v1::DATA_TYPE_F32) {
    violations->Add(absl::StrCat(field, ".dtype"), "must be DATA_TYPE_F32");
    return {};
  }
  if (tensor.shape_size() != 1 || tensor.shape(0) != size) {
    violations->Add(
        absl::StrCat(field, ".shape"),
        absl::StrCat("is [", absl::StrJoin(tensor.shape(), ", "), "]; must be [", size, "]"));
    return {};
  }
  if (tensor.data().size() != size * sizeof(float)) {
    violations->Add(absl::StrCat(field, ".data"),
                    absl::StrCat("has ", tensor.data().size(), " bytes; the shape needs ",
                                 size * sizeof(float)));
    return {};
  }
  std::vector<float> values(size);
  std::memcpy(values.data(), tensor.data().data(), tensor.data().size());
  for (int64_t i = 0; i < size; ++i) {
    if (std::isfinite(values[i])) continue;
    violations->Add(absl::StrCat(field, ".data"),
                    absl::StrCat("has ", values[i], " at element ", i, "; must be finite"));
    return {};
  }
  return values;
}

void CheckSpans(absl::string_view field, const google::protobuf::RepeatedPtrField<v1::Span>& spans,
                Violations* violations) {
  CheckCount(field, spans.size(), kMaxListed, violations);
}

std::vector<PositionSpan> ReadSpans(const google::protobuf::RepeatedPtrField<v1::Span>& spans) {
  std::vector<PositionSpan> read;
  for (const v1::Span& span : spans) {
    PositionSpan& out = read.emplace_back();
    out.begin = span.begin();
    if (span.has_end()) out.end = span.end();
  }
  return read;
}

absl::StatusOr<std::vector<Intervention>> ReadInterventions(
    absl::string_view field, const WireInterventions& wire, const ModelConfig& config,
    TraceStore* traces, Violations* violations, int64_t* source_bytes) {
  std::vector<Intervention> read;
  if (!CheckCount(field, wire.size(), kMaxInterventions, violations)) return read;
  for (int i = 0; i < wire.size(); ++i) {
    const std::string path = Element(field, i);
    Intervention& out = read.emplace_back();
    CheckSpans(absl::StrCat(path, ".positions"), wire[i].positions(), violations);
    CheckSpans(absl::StrCat(path, ".keys"), wire[i].keys(), violations);
    out.layers.assign(wire[i].layers().begin(), wire[i].layers().end());
    out.heads.assign(wire[i].heads().begin(), wire[i].heads().end());
    out.positions = ReadSpans(wire[i].positions());
    out.keys = ReadSpans(wire[i].keys());
    HEED_RETURN_IF_ERROR(
        EditReader(path, config, traces, violations, source_bytes).Read(wire[i], &out));
  }
  return read;
}

absl::StatusOr<std::shared_ptr<InterventionSet>> MakeInterventionSet(
    absl::string_view field, absl::Span<const Intervention> interventions,
    const ModelConfig& config, const EditedRun& run) {
  if (interventions.empty()) return nullptr;
  HEED_ASSIGN_OR_RETURN(std::shared_ptr<InterventionSet> set,
                        InterventionSet::Create(interventions, config, run, field));
  if (set->empty()) return nullptr;
  return set;
}

}  // namespace heed
