// The scalar twin: what each operation means, in plain loops with double-precision sums.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/kernels/backend.h"
#include "model/kernels/edited_attention.h"
#include "model/kernels/half.h"
#include "model/kernels/kv_rounding.h"
#include "model/kernels/linear_quantized.h"

namespace heed {
namespace {

class ReferenceLinear : public Linear {
 public:
  // Of 32 or 16 bits; what is in 16 is held as the same values in 32.
  explicit ReferenceLinear(const LinearForm& form)
      : form_(form),
        in_(form.cols),
        out_(form.rows),
        weight_(in_ * out_),
        bias_(form.has_bias ? out_ : 0) {}

  absl::Status Fill(const WeightRows& weight, absl::Span<const float> bias) {
    std::copy(bias.begin(), bias.end(), bias_.begin());
    return weight.read(0, absl::MakeSpan(weight_));
  }

  // As Backend::PackRounded says of 16 bits.
  absl::StatusOr<double> RoundToHalves() {
    double error = 0, count = 0;
    for (float& weight : weight_) {
      if (!std::isfinite(weight)) return absl::InvalidArgumentError("a weight is not finite");
      const float half = HalfToFloat(FloatToHalf(weight));
      if (std::isinf(half)) error = std::fabs(half);
      if (weight != 0) error += std::min(1.0, std::fabs(double{half} / weight - 1)), ++count;
      weight = half;
    }
    return count > 0 ? error / count : 0.0;
  }

  const LinearForm& form() const override { return form_; }
  std::vector<absl::Span<char>> storage() override {
    return {{reinterpret_cast<char*>(weight_.data()), weight_.size() * sizeof(float)},
            {reinterpret_cast<char*>(bias_.data()), bias_.size() * sizeof(float)}};
  }

  int64_t in_features() const override { return in_; }
  int64_t out_features() const override { return out_; }
  int64_t weight_bytes() const override {
    return static_cast<int64_t>((weight_.size() + bias_.size()) * sizeof(float));
  }

  void Apply(ConstMatrixRef x, MatrixRef y, Write write) const override {
    for (int64_t r = 0; r < x.rows; ++r) {
      for (int64_t n = 0; n < out_; ++n) {
        double sum = bias_.empty() ? 0.0 : bias_[n];
        for (int64_t k = 0; k < in_; ++k) sum += double{x.Row(r)[k]} * weight_[n * in_ + k];
        const float before = write == Write::kAccumulate ? y.Row(r)[n] : 0;
        y.Row(r)[n] = before + static_cast<float>(sum);
      }
    }
  }

  void CopyWeightRow(int64_t row, absl::Span<float> out) const override {
    std::copy_n(weight_.begin() + row * in_, in_, out.begin());
  }

 private:
  const LinearForm form_;
  const int64_t in_;
  const int64_t out_;
  std::vector<float> weight_;  // [out, in]
  std::vector<float> bias_;
};

double Act(Activation activation, double x) {
  switch (activation) {
    case Activation::kGeluTanh: {
      const double u = std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
      return 0.5 * x * (1 + std::tanh(u));
    }
    case Activation::kGeluErf:
      return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kRelu:
      return std::max(x, 0.0);
  }
  return 0;
}

void NormalizeRow(NormKind kind, const NormParameters& norm, absl::Span<const float> x,
                  absl::Span<float> y) {
  const double n = static_cast<double>(x.size());
  double mean = 0;
  if (kind == NormKind::kLayerNorm) {
    for (float v : x) mean += v / n;
  }
  double variance = 0;
  for (float v : x) variance += (v - mean) * (v - mean) / n;
  const double scale = 1 / std::sqrt(variance + norm.eps);
  for (size_t i = 0; i < x.size(); ++i) {
    const double bias = norm.bias.empty() ? 0.0 : norm.bias[i];
    y[i] = static_cast<float>((x[i] - mean) * scale * norm.weight[i] + bias);
  }
}

// Keys and values of one kv head in the pages.
class HeadView {
 public:
  HeadView(const KvPages& pages, int n_kv_heads, int kv_head, int head_dim)
      : pages_(pages),
        place_(PlaceOfKvHead(pages.type, n_kv_heads, head_dim, kv_head)),
        head_dim_(head_dim) {}

  float Key(int64_t position, int64_t d) const {
    return Read(position, place_.keys, KeyIndex(position, d), place_.key_scales);
  }
  float Value(int64_t position, int64_t d) const {
    return Read(position, place_.values, ValueIndex(position, d), place_.value_scales);
  }

  void Store(int64_t position, absl::Span<const float> key, absl::Span<const float> value) const {
    const float key_scale = KvScale(key), value_scale = KvScale(value);
    if (pages_.type == KvType::kInt8) {
      At<float>(position, place_.key_scales, position % kPageTokens) = key_scale;
      At<float>(position, place_.value_scales, position % kPageTokens) = value_scale;
    }
    for (int64_t d = 0; d < head_dim_; ++d) {
      Write(position, place_.keys, KeyIndex(position, d), key[d], key_scale);
      Write(position, place_.values, ValueIndex(position, d), value[d], value_scale);
    }
  }

 private:
  static int64_t KeyIndex(int64_t position, int64_t d) {
    return d * kPageTokens + position % kPageTokens;
  }
  int64_t ValueIndex(int64_t position, int64_t d) const {
    return position % kPageTokens * head_dim_ + d;
  }

  template <typename T>
  T& At(int64_t position, int64_t offset, int64_t index) const {
    return reinterpret_cast<T*>(pages_.pages[position / kPageTokens] + offset)[index];
  }

  float Read(int64_t position, int64_t offset, int64_t index, int64_t scales) const {
    switch (pages_.type) {
      case KvType::kF32:
        return At<float>(position, offset, index);
      case KvType::kF16:
        return HalfToFloat(At<uint16_t>(position, offset, index));
      case KvType::kInt8:
        return static_cast<float>(At<int8_t>(position, offset, index)) *
               At<float>(position, scales, position % kPageTokens);
    }
    return 0;
  }

  void Write(int64_t position, int64_t offset, int64_t index, float number, float scale) const {
    switch (pages_.type) {
      case KvType::kF32:
        At<float>(position, offset, index) = number;
        break;
      case KvType::kF16:
        At<uint16_t>(position, offset, index) = FloatToHalf(number);
        break;
      case KvType::kInt8:
        At<int8_t>(position, offset, index) = KvNumber(number, scale);
        break;
    }
  }

  const KvPages pages_;
  const KvHeadPlace place_;
  const int64_t head_dim_;
};

double Capped(double x, double cap) {
  return cap == 0 ? x : cap * std::tanh(x / cap);
}

// One query of one head, and the keys that it sees.
struct ScoreRow {
  const float* query;
  int64_t position;
  double slope;
  RowKeys keys;
};

// scale * q K^T of the keys that the row sees, with the cap and the slope.
std::vector<double> Scores(const AttentionShape& shape, const HeadView& head, const ScoreRow& row) {
  std::vector<double> scores(row.keys.end - row.keys.begin);
  for (int64_t j = row.keys.begin; j < row.keys.end; ++j) {
    double& score = scores[j - row.keys.begin];
    for (int64_t d = 0; d < shape.head_dim; ++d) score += double{row.query[d]} * head.Key(j, d);
    score = Capped(score * shape.scale, shape.soft_cap) - SlopeOver(row.slope, row.position - j);
  }
  return scores;
}

// Their softmax; all 0 where all are -inf, and equal shares of those that are inf.
void Softmax(std::vector<double>& scores) {
  const double max = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (double& s : scores) {
    s = s == max ? 1 : std::exp(s - max);
    sum += s;
  }
  if (std::isinf(max) && max < 0) sum = std::numeric_limits<double>::infinity();
  for (double& s : scores) s /= sum;
}

// The row's weights; 0 at the keys that it does not see.
std::vector<float> Weights(std::vector<double> scores, const RowKeys& keys) {
  Softmax(scores);
  std::vector<float> weights(keys.reported, 0.0f);
  std::copy(scores.begin(), scores.end(), weights.begin() + keys.begin);
  return weights;
}

// The same for a row that an editor changes.
std::vector<float> EditedWeights(const std::vector<double>& scores, const RowKeys& keys, int head,
                                 int64_t query, const AttentionRowEditor& editor) {
  std::vector<float> row(keys.reported, -std::numeric_limits<float>::infinity());
  std::copy(scores.begin(), scores.end(), row.begin() + keys.begin);
  editor.EditScores(head, query, absl::MakeSpan(row));
  std::vector<double> edited(row.begin(), row.end());
  Softmax(edited);
  std::copy(edited.begin(), edited.end(), row.begin());
  editor.EditWeights(head, query, absl::MakeSpan(row));
  return row;
}

class ScalarBackend : public Backend {
 public:
  std::string name() const override { return "scalar reference"; }

  absl::StatusOr<std::unique_ptr<Linear>> PackLinear(const WeightRows& weight,
                                                     absl::Span<const float> bias) const override {
    auto linear = std::make_unique<ReferenceLinear>(
        LinearForm{.rows = weight.rows, .cols = weight.cols, .has_bias = !bias.empty()});
    HEED_RETURN_IF_ERROR(linear->Fill(weight, bias));
    return linear;
  }

  absl::StatusOr<std::unique_ptr<Linear>> PackRounded(const WeightRows& weight,
                                                      absl::Span<const float> bias, int bits,
                                                      double* relative_error) const override {
    if (bits == 16) return PackHalves(weight, bias, relative_error);
    const QuantizedFormat format{.bits = bits, .group = kRoundedGroup};
    return PackQuantizedLinear(weight, bias, format, &PortableIntKernels(), relative_error);
  }

  static absl::StatusOr<std::unique_ptr<Linear>> PackHalves(const WeightRows& weight,
                                                            absl::Span<const float> bias,
                                                            double* relative_error) {
    auto linear = std::make_unique<ReferenceLinear>(LinearForm{
        .rows = weight.rows, .cols = weight.cols, .bits = 16, .has_bias = !bias.empty()});
    HEED_RETURN_IF_ERROR(linear->Fill(weight, bias));
    HEED_ASSIGN_OR_RETURN(const double error, linear->RoundToHalves());
    if (relative_error != nullptr) *relative_error = error;
    return linear;
  }

  absl::StatusOr<std::unique_ptr<Linear>> PackBlocks(const BlockRows& blocks,
                                                     absl::Span<const float> bias) const override {
    return PackBlockLinear(blocks, bias, &PortableIntKernels());
  }

  absl::StatusOr<std::unique_ptr<Linear>> NewLinear(const LinearForm& form) const override {
    if (form.bits < 16) return NewQuantizedLinear(form, &PortableIntKernels());
    return std::make_unique<ReferenceLinear>(form);
  }

  std::string packing() const override {
    return absl::StrCat("reference, ", IntPacking(PortableIntKernels()));
  }

  void Normalize(NormKind kind, const NormParameters& norm, ConstMatrixRef x,
                 MatrixRef y) const override {
    for (int64_t r = 0; r < x.rows; ++r) NormalizeRow(kind, norm, x.Row(r), y.Row(r));
  }

  void NormalizeHeads(NormKind kind, const NormParameters& norm, MatrixRef x,
                      int head_dim) const override {
    for (int64_t h = 0; h < x.cols; h += head_dim) {
      const MatrixRef head = x.Columns(h, head_dim);
      Normalize(kind, norm, head, head);
    }
  }

  void Rotate(MatrixRef x, int head_dim, ConstMatrixRef cos, ConstMatrixRef sin) const override {
    const int64_t half = cos.cols;
    for (int64_t r = 0; r < x.rows; ++r) {
      for (int64_t h = 0; h < x.cols; h += head_dim) {
        for (int64_t i = 0; i < half; ++i) {
          float& low = x.Row(r)[h + i];
          float& high = x.Row(r)[h + i + half];
          const double a = low, b = high, c = cos.Row(r)[i], s = sin.Row(r)[i];
          low = static_cast<float>(a * c - b * s);
          high = static_cast<float>(b * c + a * s);
        }
      }
    }
  }

  void Activate(Activation activation, MatrixRef x) const override {
    for (int64_t r = 0; r < x.rows; ++r) {
      for (float& v : x.Row(r)) v = static_cast<float>(Act(activation, v));
    }
  }

  void ActivateGated(Activation activation, ConstMatrixRef gate_up, MatrixRef y) const override {
    for (int64_t r = 0; r < y.rows; ++r) {
      for (int64_t i = 0; i < y.cols; ++i) {
        y.Row(r)[i] =
            static_cast<float>(Act(activation, gate_up.Row(r)[i]) * gate_up.Row(r)[y.cols + i]);
      }
    }
  }

  void SoftCap(float cap, MatrixRef x) const override {
    for (int64_t r = 0; r < x.rows; ++r) {
      for (float& v : x.Row(r)) v = static_cast<float>(Capped(v, cap));
    }
  }

  void Add(ConstMatrixRef x, MatrixRef y) const override {
    for (int64_t r = 0; r < y.rows; ++r) {
      for (int64_t i = 0; i < y.cols; ++i) y.Row(r)[i] += x.Row(r)[i];
    }
  }

  void StoreKeysValues(ConstMatrixRef keys, ConstMatrixRef values, int head_dim,
                       int64_t first_position, KvPages pages) const override {
    const int n_kv_heads = static_cast<int>(keys.cols / head_dim);
    for (int h = 0; h < n_kv_heads; ++h) {
      const HeadView head(pages, n_kv_heads, h, head_dim);
      for (int64_t r = 0; r < keys.rows; ++r) {
        head.Store(first_position + r, keys.Row(r).subspan(h * head_dim, head_dim),
                   values.Row(r).subspan(h * head_dim, head_dim));
      }
    }
  }

  void Attend(const AttentionShape& shape, absl::Span<const AttentionSlice> slices) const override {
    for (const AttentionSlice& slice : slices) {
      for (int head = 0; head < shape.n_heads; ++head) {
        for (int64_t row = 0; row < slice.query.rows; ++row) AttendRow(shape, slice, head, row);
      }
    }
  }

 private:
  static void AttendRow(const AttentionShape& shape, const AttentionSlice& slice, int head,
                        int64_t row) {
    const int kv_head = head / (shape.n_heads / shape.n_kv_heads);
    const HeadView view(slice.pages, shape.n_kv_heads, kv_head, shape.head_dim);
    const int64_t position = slice.first_position + row;
    const bool is_edited = IsEdited(slice, head, position);
    const AttentionMask mask =
        is_edited ? slice.editor->MaskOf(head, position) : AttentionMask::kOwn;
    const RowKeys keys = KeysOfRow(shape, mask, position, slice.first_position + slice.query.rows);
    const float* query = slice.query.Row(row).data() + int64_t{head} * shape.head_dim;
    const double slope = shape.slopes.empty() ? 0 : shape.slopes[head];
    const std::vector<double> scores = Scores(shape, view, {query, position, slope, keys});
    const std::vector<float> weights =
        is_edited ? EditedWeights(scores, keys, head, position, *slice.editor)
                  : Weights(scores, keys);
    float* output = slice.output.Row(row).data() + int64_t{head} * shape.head_dim;
    for (int64_t d = 0; d < shape.head_dim; ++d) {
      double sum = 0;
      for (int64_t j = keys.begin; j < keys.end; ++j) {
        sum += double{weights[j]} * view.Value(j, d);
      }
      output[d] = static_cast<float>(sum);
    }
    const AttentionRows& watched = slice.watched;
    if (std::binary_search(watched.heads.begin(), watched.heads.end(), head) &&
        std::binary_search(watched.queries.begin(), watched.queries.end(), position)) {
      const WatchedRow row{head, position, weights};
      slice.sink->OnRows({&row, 1});
    }
  }
};

}  // namespace

const Backend* ReferenceBackend() {
  static const Backend* const backend = new ScalarBackend;
  return backend;
}

}  // namespace heed
