#include "model/inspect/decompose.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "model/inspect/activations.h"
#include "model/inspect/attention_read.h"
#include "model/kernels/double_rows.h"
#include "model/kernels/parallel.h"

namespace heed {
namespace {

// A norm at the scale that it had in each row: the linear map
// part -> (part - its mean) * weight * scale(row), or part * weight * scale(row).
class FrozenNorm {
 public:
  // Of what it was given, [rows, width]; absent: the identity.
  FrozenNorm(const NormPart& norm, ConstMatrixRef given) : norm_(norm), scale_(given.rows, 1) {
    if (!norm.present()) return;
    for (int64_t r = 0; r < given.rows; ++r) {
      const absl::Span<const float> x = given.Row(r);
      const double n = static_cast<double>(x.size());
      const double mean = centres() ? std::accumulate(x.begin(), x.end(), 0.0) / n : 0;
      double square = 0;
      for (float value : x) square += (value - mean) * (value - mean);
      scale_[r] = 1 / std::sqrt(square / n + norm.parameters.eps);
    }
  }

  // The part of the map that is the same for all rows.
  void Apply(absl::Span<double> part) const {
    if (!norm_.present()) return;
    const double mean = centres() ? std::accumulate(part.begin(), part.end(), 0.0) /
                                        static_cast<double>(part.size())
                                  : 0;
    for (size_t i = 0; i < part.size(); ++i) {
      part[i] = (part[i] - mean) * norm_.parameters.weight[i];
    }
  }
  double scale(int64_t row) const { return scale_[row]; }

 private:
  bool centres() const { return norm_.kind == NormKind::kLayerNorm; }
  const NormPart norm_;
  std::vector<double> scale_;
};

double Norm(absl::Span<const double> x) {
  return std::sqrt(BestDoubleRows().sum_squares(x.data(), static_cast<int64_t>(x.size())));
}

// The parts p(i, j) of one layer, a row for each of the queries. f_h(j) = v_j W_O of head h behind
// the norms, at scale 1, are kept for all keys: [size, heads, width].
class Parts {
 public:
  // `residual` [queries, width], or without columns where the parts are those of attention alone.
  Parts(const LanguageModel& model, const LayerAttention& attention,
        absl::Span<const int64_t> queries, FrozenNorm inner, FrozenNorm outer,
        ConstMatrixRef residual)
      : attention_(attention),
        queries_(queries),
        inner_(std::move(inner)),
        outer_(std::move(outer)),
        residual_(residual),
        n_(attention.trace().size()),
        heads_(attention.shape().n_heads),
        width_(model.config().width),
        transformed_(n_ * heads_ * width_) {}

  // Once, before all else.
  absl::Status Read(const StopSignal* stop) {
    for (int64_t head = 0; head < heads_; ++head) {
      HEED_RETURN_IF_ERROR(CheckStop(stop));
      Transform(static_cast<int>(head));
    }
    ReadWeights();
    return absl::OkStatus();
  }

  double weight(int64_t head, int64_t row, int64_t key) const {
    return weights_[(head * rows() + row) * n_ + key];
  }

  // p(query, key) [width] of the row's query, with the residual where it belongs.
  void Compute(int64_t row, int64_t key, absl::Span<double> part) const {
    thread_local std::vector<double> weights;
    weights.resize(heads_);
    const double scale = inner_.scale(row) * outer_.scale(row);
    for (int64_t head = 0; head < heads_; ++head) weights[head] = weight(head, row, key) * scale;
    BestDoubleRows().mix(transformed_.data() + key * heads_ * width_, heads_, width_,
                         weights.data(), part.data());
    if (query(row) == key && residual_.cols > 0) AddResidual(row, part);
  }

  bool IsEmpty(int64_t row, int64_t key) const {
    if (query(row) == key && residual_.cols > 0) return false;
    for (int64_t head = 0; head < heads_; ++head) {
      if (weight(head, row, key) != 0) return false;
    }
    return true;
  }

  int64_t rows() const { return std::ssize(queries_); }
  int64_t query(int64_t row) const { return queries_[row]; }
  int64_t size() const { return n_; }
  int64_t width() const { return width_; }

 private:
  void AddResidual(int64_t row, absl::Span<double> part) const {
    std::vector<double> x(residual_.Row(row).begin(), residual_.Row(row).end());
    outer_.Apply(absl::MakeSpan(x));
    for (int64_t d = 0; d < width_; ++d) part[d] += x[d] * outer_.scale(row);
  }

  void Transform(int head) {
    const int64_t dim = attention_.shape().head_dim;
    const std::vector<float> projection = attention_.HeadProjection(head);
    std::vector<float> columns(dim * width_);  // [head_dim, width]
    for (int64_t d = 0; d < width_; ++d) {
      for (int64_t i = 0; i < dim; ++i) columns[i * width_ + d] = projection[d * dim + i];
    }
    ParallelBlocks(n_, 8, [&](int64_t begin, int64_t end) {
      std::vector<double> f(width_);
      for (int64_t key = begin; key < end; ++key) {
        const absl::Span<const float> v = attention_.Value(head, key);
        const std::vector<double> weights(v.begin(), v.end());
        BestDoubleRows().mix(columns.data(), dim, width_, weights.data(), f.data());
        inner_.Apply(absl::MakeSpan(f));
        outer_.Apply(absl::MakeSpan(f));
        std::copy(f.begin(), f.end(), transformed_.data() + (key * heads_ + head) * width_);
      }
    });
  }

  void ReadWeights() {
    std::vector<int> heads(heads_);
    std::iota(heads.begin(), heads.end(), 0);
    weights_.resize(heads_ * rows() * n_);
    attention_.Read(AttentionStage::kWeights, heads, queries_,
                    [&](int head, int64_t query, absl::Span<const float> row) {
                      const auto place = std::lower_bound(queries_.begin(), queries_.end(), query);
                      std::copy(
                          row.begin(), row.end(),
                          weights_.begin() + (head * rows() + (place - queries_.begin())) * n_);
                    });
  }

  const LayerAttention& attention_;
  const absl::Span<const int64_t> queries_;
  const FrozenNorm inner_, outer_;
  const ConstMatrixRef residual_;
  const int64_t n_, heads_, width_;
  std::vector<float> transformed_;
  std::vector<float> weights_;  // [heads, queries, size]
};

// Rows that look at a key's vectors while these are in the cache.
constexpr int64_t kRowBlock = 8;

// Calls fn(begin, end) for blocks of all rows, on the team.
template <typename Fn>
absl::Status ForEachBlock(const Parts& parts, const StopSignal* stop, const Fn& fn) {
  const int64_t n = parts.rows();
  ParallelFor((n + kRowBlock - 1) / kRowBlock, true, [&](int64_t block) {
    const int64_t begin = block * kRowBlock;
    if (CheckStop(stop).ok()) fn(begin, std::min(begin + kRowBlock, n));
  });
  return CheckStop(stop);
}

absl::Status FillNorms(const Parts& parts, const StopSignal* stop, AttentionDecomposition& result) {
  const int64_t n = parts.size(), width = parts.width();
  return ForEachBlock(parts, stop, [&](int64_t begin, int64_t end) {
    std::vector<double> part(width), others((end - begin) * width), own(end - begin);
    for (int64_t key = 0; key < n; ++key) {
      for (int64_t row = begin; row < end; ++row) {
        if (parts.IsEmpty(row, key)) continue;
        parts.Compute(row, key, absl::MakeSpan(part));
        const double norm = Norm(part);
        result.shares[row * n + key] = static_cast<float>(norm);
        if (key == parts.query(row)) {
          own[row - begin] = norm;
        } else {
          BestDoubleRows().add(part.data(), width, others.data() + (row - begin) * width);
        }
      }
    }
    for (int64_t row = begin; row < end; ++row) {
      const double mixed = Norm(absl::MakeConstSpan(others).subspan((row - begin) * width, width));
      const double sum = mixed + own[row - begin];
      result.mixing_ratios[row] = static_cast<float>(sum > 0 ? mixed / sum : 0);
    }
  });
}

double L1(absl::Span<const float> x) {
  double sum = 0;
  for (float value : x) sum += std::abs(value);
  return sum;
}

absl::Status FillAlti(const Parts& parts, ConstMatrixRef whole, const StopSignal* stop,
                      AttentionDecomposition& result) {
  const int64_t n = parts.size(), width = parts.width();
  return ForEachBlock(parts, stop, [&](int64_t begin, int64_t end) {
    std::vector<double> part(width), lengths, kept((end - begin) * n);
    for (int64_t row = begin; row < end; ++row) lengths.push_back(L1(whole.Row(row)));
    for (int64_t key = 0; key < n; ++key) {
      for (int64_t row = begin; row < end; ++row) {
        if (parts.IsEmpty(row, key)) continue;
        parts.Compute(row, key, absl::MakeSpan(part));
        const absl::Span<const float> y = whole.Row(row);
        const double distance = BestDoubleRows().distance(y.data(), part.data(), width);
        kept[(row - begin) * n + key] = std::max(0.0, lengths[row - begin] - distance);
      }
    }
    for (int64_t row = begin; row < end; ++row) {
      const double* const amounts = kept.data() + (row - begin) * n;
      const double sum = std::accumulate(amounts, amounts + n, 0.0);
      for (int64_t key = 0; key < n; ++key) {
        const double share = sum > 0 ? amounts[key] / sum : 0;
        result.shares[row * n + key] = static_cast<float>(share);
        if (key != parts.query(row)) result.mixing_ratios[row] += static_cast<float>(share);
      }
    }
  });
}

// Rows of what the output projection gives, in front of the inner norm.
AlignedBuffer Products(const LanguageModel& model, const LayerAttention& attention,
                       absl::Span<const int64_t> queries) {
  const int64_t n = static_cast<int64_t>(queries.size()), width = model.config().width;
  const AlignedBuffer mixed = attention.Mixed(queries);
  AlignedBuffer products(n * width);
  attention.half().out->Apply({mixed.data(), n, model.config().query_width()},
                              {products.data(), n, width});
  return products;
}

}  // namespace

absl::Status CheckDecomposition(const LanguageModel& model, Decomposition method) {
  if (method == Decomposition::kAttentionNorm) return absl::OkStatus();
  if (!HasSite(model.config(), Site::kResidualMid)) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "SITE_NOT_IN_MODEL",
                     "this model adds its blend to no stream; decompose the attention alone",
                     {{"method", "attention_norm"}});
  }
  const bool norms_behind = model.parts().layers.front().attention.after.present();
  if (method != Decomposition::kResidualNormNorm || norms_behind) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "NO_NORM_BEHIND",
                   "this model does not norm the sum of stream and attention; decompose without "
                   "the norm",
                   {{"method", "residual_norm"}});
}

absl::StatusOr<AttentionDecomposition> DecomposeAttention(const LanguageModel& model,
                                                          const Trace& trace, int layer,
                                                          Decomposition method,
                                                          absl::Span<const int64_t> queries,
                                                          const StopSignal* stop) {
  const LayerAttention attention(model, trace, layer);
  const HalfParts& half = attention.half();
  HEED_RETURN_IF_ERROR(CheckDecomposition(model, method));
  const int64_t n_rows = std::ssize(queries), width = model.config().width;

  AlignedBuffer products;
  if (half.inside.present()) products = Products(model, attention, queries);
  FrozenNorm inner(half.inside, {products.data(), n_rows, width});
  AttentionDecomposition result{std::vector<float>(n_rows * trace.size()),
                                std::vector<float>(n_rows)};
  if (method == Decomposition::kAttentionNorm) {
    FrozenNorm outer({}, {nullptr, n_rows, width});
    Parts parts(model, attention, queries, std::move(inner), std::move(outer), {});
    HEED_RETURN_IF_ERROR(parts.Read(stop));
    HEED_RETURN_IF_ERROR(FillNorms(parts, stop, result));
    return result;
  }
  HEED_ASSIGN_OR_RETURN(const SiteValues stream, ReadSite(model, trace, Site::kResidual, layer));
  AlignedBuffer residual(n_rows * width);
  for (int64_t row = 0; row < n_rows; ++row) {
    const absl::Span<const float> from = stream.view().Row(queries[row]);
    std::copy(from.begin(), from.end(), residual.data() + row * width);
  }
  const ConstMatrixRef residuals(residual.data(), n_rows, width);
  AlignedBuffer sum = attention.Out(queries);
  const MatrixRef sums(sum.data(), n_rows, width);
  model.parts().backend->Add(residuals, sums);
  const bool has_norm = method != Decomposition::kResidualNorm && half.after.present();
  FrozenNorm outer(has_norm ? half.after : NormPart(), sums);
  Parts parts(model, attention, queries, std::move(inner), std::move(outer), residuals);
  HEED_RETURN_IF_ERROR(parts.Read(stop));
  if (method != Decomposition::kAlti) {
    HEED_RETURN_IF_ERROR(FillNorms(parts, stop, result));
    return result;
  }
  if (has_norm)
    model.parts().backend->Normalize(half.after.kind, half.after.parameters, sums, sums);
  HEED_RETURN_IF_ERROR(FillAlti(parts, sums, stop, result));
  return result;
}

int64_t DecompositionBytes(const ModelConfig& config, int64_t rows, int64_t n_tokens) {
  return n_tokens * config.n_heads * (config.width + rows) * static_cast<int64_t>(sizeof(float));
}

}  // namespace heed
