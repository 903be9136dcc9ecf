#include "model/inspect/attention_read.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include "model/inspect/row_products.h"
#include "model/kernels/double_rows.h"
#include "model/kernels/parallel.h"

namespace heed {
namespace {

using RowFn = LayerAttention::RowFn;

constexpr float kNothing = -std::numeric_limits<float>::infinity();

// Queries whose scores are made together, and keys that are then in the cache.
constexpr int64_t kScoreQueries = 32, kScoreKeys = 64;

// One head's keys and values in pages of their own.
class HeadPages {
 public:
  HeadPages(const Backend& backend, KvType type, ConstMatrixRef keys, ConstMatrixRef values)
      : type_(type) {
    const int64_t n_pages = (keys.rows + kPageTokens - 1) / kPageTokens;
    const int64_t page_floats =
        KvPartBytes(type, /*n_kv_heads=*/1, keys.cols) / static_cast<int64_t>(sizeof(float));
    memory_ = AlignedBuffer(n_pages * page_floats);
    for (int64_t p = 0; p < n_pages; ++p) {
      pages_.push_back(reinterpret_cast<char*>(memory_.data() + p * page_floats));
    }
    backend.StoreKeysValues(keys, values, static_cast<int>(keys.cols), /*first_position=*/0,
                            pages());
  }
  KvPages pages() const { return {type_, pages_}; }

 private:
  const KvType type_;
  AlignedBuffer memory_;
  std::vector<char*> pages_;
};

// Makes the first row of all, one of each head.
void Fuse(LayerAttention::Fusion fusion, MatrixRef rows) {
  const absl::Span<float> fused = rows.Row(0);
  if (fusion == LayerAttention::Fusion::kMax) {
    for (int64_t h = 1; h < rows.rows; ++h) {
      const absl::Span<const float> row = rows.Row(h);
      for (size_t key = 0; key < fused.size(); ++key) fused[key] = std::max(fused[key], row[key]);
    }
    return;
  }
  const std::vector<double> ones(rows.rows, 1);
  std::vector<double> sums(rows.cols);
  BestDoubleRows().mix(rows.data, rows.rows, rows.cols, ones.data(), sums.data());
  for (size_t key = 0; key < fused.size(); ++key) {
    fused[key] = static_cast<float>(sums[key] / static_cast<double>(rows.rows));
  }
}

// Hands on the rows of a head that is computed alone, filled up with zeros to all keys.
class HeadSink : public AttentionRowSink {
 public:
  HeadSink(int head, int64_t n_keys, RowFn fn) : head_(head), n_keys_(n_keys), fn_(fn) {}
  void OnRows(absl::Span<const WatchedRow> rows) override {
    thread_local std::vector<float> row;
    for (const WatchedRow& watched : rows) {
      row.assign(watched.weights.begin(), watched.weights.end());
      row.resize(n_keys_, 0.0f);
      fn_(head_, watched.query, row);
    }
  }

 private:
  const int head_;
  const int64_t n_keys_;
  const RowFn fn_;
};

// The run's editor, for a head that is computed alone.
class HeadEditor : public AttentionRowEditor {
 public:
  HeadEditor(const ForwardEditor* editor, int layer, int head)
      : editor_(editor), layer_(layer), head_(head) {}
  bool Edits(int, int64_t query) const override { return editor_->EditsRow(layer_, head_, query); }
  AttentionMask MaskOf(int, int64_t query) const override {
    return editor_->MaskOf(layer_, head_, query);
  }
  std::optional<float> ScoreFactor(int, int64_t query) const override {
    return editor_->ScoreFactor(layer_, head_, query);
  }
  void EditScores(int, int64_t query, absl::Span<float> scores) const override {
    editor_->EditScores(layer_, head_, query, scores);
  }
  void EditWeights(int, int64_t query, absl::Span<float> weights) const override {
    editor_->EditWeights(layer_, head_, query, weights);
  }

 private:
  const ForwardEditor* const editor_;
  const int layer_, head_;
};

template <typename T>
bool Contains(absl::Span<const T> ascending, T value) {
  return std::binary_search(ascending.begin(), ascending.end(), value);
}

std::vector<int64_t> UpTo(int64_t n) {
  std::vector<int64_t> all(n);
  std::iota(all.begin(), all.end(), int64_t{0});
  return all;
}

}  // namespace

LayerAttention::LayerAttention(const LanguageModel& model, const Trace& trace, int layer)
    : model_(model), trace_(trace), layer_(layer), parts_(model.parts().layers[layer]) {}

// Columns of one head.
ConstMatrixRef LayerAttention::HeadRows(Site site, int head) const {
  const ConstMatrixRef all = trace_.SiteRows(site, layer_);
  const int64_t column = int64_t{site == Site::kQuery ? head : KvHead(head)} * shape().head_dim;
  return {all.data + column, all.rows, shape().head_dim, all.stride};
}

absl::Span<const float> LayerAttention::Query(int head, int64_t query) const {
  return HeadRows(Site::kQuery, head).Row(query);
}
absl::Span<const float> LayerAttention::Key(int head, int64_t key) const {
  return HeadRows(Site::kKey, head).Row(key);
}
absl::Span<const float> LayerAttention::Value(int head, int64_t key) const {
  return HeadRows(Site::kValue, head).Row(key);
}

AttentionRows LayerAttention::EditedRows() const {
  if (trace_.editor() == nullptr) return {};
  return trace_.editor()->EditedAttention(layer_, 0, trace_.size());
}

// Runs one head's rows through the model's own kernels. `mixed`, a row for each position, gets
// those of the queries, and what else was computed with them.
void LayerAttention::Attend(int head, absl::Span<const int64_t> queries, AttentionRowSink* sink,
                            MatrixRef mixed) const {
  if (queries.empty()) return;
  const Backend& backend = *model_.parts().backend;
  const HeadPages pages(backend, model_.config().kv_type, HeadRows(Site::kKey, head),
                        HeadRows(Site::kValue, head));
  AttentionShape alone = shape();
  alone.n_heads = alone.n_kv_heads = 1;
  if (!alone.slopes.empty()) alone.slopes = alone.slopes.subspan(head, 1);
  const int only_head[] = {0};
  const AttentionRows edited = EditedRows();
  const bool is_edited = Contains(edited.heads, head) && !edited.queries.empty();
  const HeadEditor editor(trace_.editor(), layer_, head);
  const auto slice_of = [&](int64_t begin, int64_t end) {
    AttentionSlice slice;
    slice.query = HeadRows(Site::kQuery, head).Rows(begin, end - begin);
    slice.output = mixed.Rows(begin, end - begin);
    slice.pages = pages.pages();
    slice.first_position = begin;
    if (sink != nullptr) {
      slice.watched = {only_head, queries};
      slice.sink = sink;
    }
    if (is_edited) {
      slice.edited = {only_head, edited.queries};
      slice.editor = &editor;
    }
    return slice;
  };
  std::vector<AttentionSlice> slices;
  if (is_edited || !alone.causal) {  // rows may look past themselves, so the call goes to the end
    slices.push_back(slice_of(queries.front(), trace_.size()));
  } else {
    for (size_t i = 0; i < queries.size();) {
      const int64_t begin = queries[i];
      int64_t end = begin;
      for (; i < queries.size() && queries[i] == end; ++i) ++end;
      slices.push_back(slice_of(begin, end));
    }
  }
  backend.Attend(alone, slices);
}

void LayerAttention::ReadWeights(absl::Span<const int> heads, absl::Span<const int64_t> queries,
                                 RowFn fn) const {
  ParallelFor(static_cast<int64_t>(heads.size()), true, [&](int64_t h) {
    AlignedBuffer unused(trace_.size() * shape().head_dim);
    HeadSink sink(heads[h], trace_.size(), fn);
    Attend(heads[h], queries, &sink, {unused.data(), trace_.size(), shape().head_dim});
  });
}

bool LayerAttention::IsEdited(int head, int64_t query) const {
  const AttentionRows rows = EditedRows();
  return Contains(rows.heads, head) && Contains(rows.queries, query) &&
         trace_.editor()->EditsRow(layer_, head, query);
}

RowKeys LayerAttention::KeysOf(int head, int64_t query) const {
  const AttentionMask mask =
      IsEdited(head, query) ? trace_.editor()->MaskOf(layer_, head, query) : AttentionMask::kOwn;
  return KeysOfRow(shape(), mask, query, trace_.size());
}

// The keys a row does not see get -inf; the editor's scores are those of the run.
void LayerAttention::Mask(int head, int64_t query, absl::Span<float> row) const {
  const RowKeys keys = KeysOf(head, query);
  std::fill(row.begin(), row.begin() + keys.begin, kNothing);
  std::fill(row.begin() + keys.end, row.end(), kNothing);
  if (IsEdited(head, query)) {
    trace_.editor()->EditScores(layer_, head, query, row.first(keys.reported));
  }
}

float LayerAttention::AtStage(AttentionStage stage, int head, int64_t query, int64_t key,
                              double product) const {
  double score = product;
  if (stage >= AttentionStage::kScaled) score *= shape().scale;
  if (stage >= AttentionStage::kCapped && shape().soft_cap != 0) {
    score = shape().soft_cap * std::tanh(score / shape().soft_cap);
  }
  const bool has_slope = stage == AttentionStage::kMasked && !shape().slopes.empty();
  return static_cast<float>(score - SlopeOver(has_slope ? shape().slopes[head] : 0, query - key));
}

void LayerAttention::Score(AttentionStage stage, int head, absl::Span<const int64_t> queries,
                           MatrixRef rows) const {
  const int64_t dim = shape().head_dim, n = trace_.size();
  std::vector<double> numbers, products(kScoreKeys);  // numbers: [queries, head_dim]
  for (int64_t query : queries) {
    const absl::Span<const float> q = Query(head, query);
    numbers.insert(numbers.end(), q.begin(), q.end());
  }
  for (int64_t begin = 0; begin < n; begin += kScoreKeys) {
    const int64_t count = std::min(kScoreKeys, n - begin);
    const RowProducts keys(count, dim, [&](int64_t k) { return Key(head, begin + k); });
    for (size_t i = 0; i < queries.size(); ++i) {
      keys.With(absl::MakeConstSpan(numbers).subspan(i * dim, dim), products.data());
      for (int64_t k = 0; k < count; ++k) {
        rows.Row(i)[begin + k] = AtStage(stage, head, queries[i], begin + k, products[k]);
      }
    }
  }
  if (stage != AttentionStage::kMasked) return;
  for (size_t i = 0; i < queries.size(); ++i) Mask(head, queries[i], rows.Row(i));
}

void LayerAttention::ReadScores(AttentionStage stage, absl::Span<const int> heads,
                                absl::Span<const int64_t> queries, RowFn fn) const {
  const int64_t n = trace_.size(), n_queries = static_cast<int64_t>(queries.size());
  const int64_t blocks = (n_queries + kScoreQueries - 1) / kScoreQueries;
  ParallelFor(static_cast<int64_t>(heads.size()) * blocks, true, [&](int64_t i) {
    const int head = heads[i / blocks];
    const auto some = queries.subspan(i % blocks * kScoreQueries, kScoreQueries);
    AlignedBuffer memory(static_cast<int64_t>(some.size()) * n);
    const MatrixRef rows(memory.data(), static_cast<int64_t>(some.size()), n);
    Score(stage, head, some, rows);
    for (size_t r = 0; r < some.size(); ++r) fn(head, some[r], rows.Row(r));
  });
}

void LayerAttention::ReadValueWeighted(AttentionStage stage, absl::Span<const int> heads,
                                       absl::Span<const int64_t> queries, RowFn fn) const {
  std::vector<std::vector<double>> norms(shape().n_heads);
  for (int head : heads) norms[head] = ValueNorms(head);
  ReadWeights(heads, queries, [&](int head, int64_t query, absl::Span<const float> weights) {
    thread_local std::vector<float> row;
    row.resize(weights.size());
    double sum = 0;
    for (size_t key = 0; key < weights.size(); ++key) sum += weights[key] * norms[head][key];
    const double divisor = stage == AttentionStage::kContribution && sum > 0 ? sum : 1;
    for (size_t key = 0; key < weights.size(); ++key) {
      row[key] = static_cast<float>(weights[key] * norms[head][key] / divisor);
    }
    fn(head, query, row);
  });
}

void LayerAttention::Read(AttentionStage stage, absl::Span<const int> heads,
                          absl::Span<const int64_t> queries, RowFn fn) const {
  if (stage < AttentionStage::kWeights) return ReadScores(stage, heads, queries, fn);
  if (stage == AttentionStage::kWeights) return ReadWeights(heads, queries, fn);
  ReadValueWeighted(stage, heads, queries, fn);
}

// A block of queries at a time, whose rows of all heads stay in the cache.
void LayerAttention::ReadFused(
    AttentionStage stage, Fusion fusion, absl::Span<const int> heads,
    absl::Span<const int64_t> queries,
    absl::FunctionRef<void(int64_t query, absl::Span<const float> row)> fn) const {
  if (queries.empty()) return;
  constexpr int64_t kBlockFloats = int64_t{1} << 21;
  const int64_t n = trace_.size(), n_heads = static_cast<int64_t>(heads.size());
  const int64_t block_rows =
      std::clamp<int64_t>(kBlockFloats / (n_heads * n), 1, static_cast<int64_t>(queries.size()));
  AlignedBuffer rows(block_rows * n_heads * n);  // [queries, heads, n]
  for (size_t begin = 0; begin < queries.size(); begin += block_rows) {
    const absl::Span<const int64_t> block = queries.subspan(begin, block_rows);
    const int64_t count = static_cast<int64_t>(block.size());
    Read(stage, heads, block, [&](int head, int64_t query, absl::Span<const float> row) {
      const auto place = std::lower_bound(block.begin(), block.end(), query) - block.begin();
      const auto head_place = std::lower_bound(heads.begin(), heads.end(), head) - heads.begin();
      std::copy(row.begin(), row.end(), rows.data() + (place * n_heads + head_place) * n);
    });
    ParallelFor(count, count * n_heads * n > 1 << 16, [&](int64_t q) {
      Fuse(fusion, MatrixRef(rows.data() + q * n_heads * n, n_heads, n));
    });
    for (int64_t q = 0; q < count; ++q) fn(block[q], rows.span().subspan(q * n_heads * n, n));
  }
}

AlignedBuffer LayerAttention::Mixed(absl::Span<const int64_t> queries) const {
  const int64_t n = trace_.size(), dim = shape().head_dim, width = shape().n_heads * dim;
  AlignedBuffer picked(static_cast<int64_t>(queries.size()) * width);
  ConstMatrixRef mixed = trace_.SiteRows(Site::kMixed, layer_);
  AlignedBuffer all;
  if (mixed.cols == 0) {
    all = AlignedBuffer(n * width);
    const MatrixRef rows(all.data(), n, width);
    // An edit may need the rows of all positions.
    const ForwardEditor* const editor = trace_.editor();
    const bool is_edited = editor != nullptr && editor->EditsSite(Site::kMixed, layer_);
    const std::vector<int64_t> everything = UpTo(is_edited ? n : 0);
    const absl::Span<const int64_t> computed = is_edited ? everything : queries;
    ParallelFor(shape().n_heads, true, [&](int64_t head) {
      Attend(static_cast<int>(head), computed, nullptr, rows.Columns(head * dim, dim));
    });
    if (is_edited) editor->EditSite(Site::kMixed, layer_, 0, rows);
    mixed = rows;
  }
  for (size_t i = 0; i < queries.size(); ++i) {
    const absl::Span<const float> row = mixed.Row(queries[i]);
    std::copy(row.begin(), row.end(), picked.data() + static_cast<int64_t>(i) * width);
  }
  return picked;
}

AlignedBuffer LayerAttention::Out(absl::Span<const int64_t> queries) const {
  const int64_t width = model_.config().width;
  const ForwardEditor* const editor = trace_.editor();
  const bool is_edited = editor != nullptr && editor->EditsSite(Site::kAttentionOut, layer_);
  const std::vector<int64_t> everything = UpTo(is_edited ? trace_.size() : 0);
  const absl::Span<const int64_t> computed = is_edited ? everything : queries;
  const int64_t n = static_cast<int64_t>(computed.size());
  AlignedBuffer mixed = Mixed(computed);
  AlignedBuffer out;
  if (half().out == nullptr) {
    out = std::move(mixed);
  } else {
    out = AlignedBuffer(n * width);
    half().out->Apply({mixed.data(), n, half().out->in_features()}, {out.data(), n, width});
  }
  const MatrixRef rows(out.data(), n, width);
  if (half().inside.present()) {
    model_.parts().backend->Normalize(half().inside.kind, half().inside.parameters, rows, rows);
  }
  if (!is_edited) return out;
  editor->EditSite(Site::kAttentionOut, layer_, 0, rows);
  AlignedBuffer picked(static_cast<int64_t>(queries.size()) * width);
  for (size_t i = 0; i < queries.size(); ++i) {
    std::copy_n(rows.Row(queries[i]).data(), width,
                picked.data() + static_cast<int64_t>(i) * width);
  }
  return picked;
}

const std::vector<float>& LayerAttention::Projection() const {
  absl::call_once(projection_once_, [this] {
    const Linear& out = *half().out;
    projection_.resize(out.out_features() * out.in_features());
    ParallelBlocks(out.out_features(), 16, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        out.CopyWeightRow(
            row, absl::MakeSpan(projection_).subspan(row * out.in_features(), out.in_features()));
      }
    });
  });
  return projection_;
}

std::vector<float> LayerAttention::HeadProjection(int head) const {
  const int64_t dim = shape().head_dim, width = model_.config().width;
  std::vector<float> columns(width * dim);
  if (half().out == nullptr) {
    for (int64_t d = 0; d < dim; ++d) columns[d * dim + d] = 1;
    return columns;
  }
  const int64_t stride = half().out->in_features();
  for (int64_t row = 0; row < width; ++row) {
    std::copy_n(Projection().data() + row * stride + head * dim, dim, columns.data() + row * dim);
  }
  return columns;
}

std::vector<float> LayerAttention::ProjectionBias() const {
  std::vector<float> bias(model_.config().width);
  if (half().out == nullptr) return bias;
  const std::vector<float> zeros(half().out->in_features());
  half().out->Apply({zeros.data(), 1, half().out->in_features()},
                    {bias.data(), 1, model_.config().width});
  return bias;
}

// |v W|^2 = v (W^T W) v, so the wide matrix is multiplied once and not for each key.
std::vector<double> LayerAttention::ValueNorms(int head) const {
  const int64_t dim = shape().head_dim, width = model_.config().width;
  const std::vector<float> projection = HeadProjection(head);
  std::vector<double> gram(dim * dim), column(width);
  for (int64_t a = 0; a < dim; ++a) {
    for (int64_t row = 0; row < width; ++row) column[row] = projection[row * dim + a];
    BestDoubleRows().mix(projection.data(), width, dim, column.data(), gram.data() + a * dim);
  }
  std::vector<double> norms(trace_.size());
  ParallelBlocks(trace_.size(), 64, [&](int64_t begin, int64_t end) {
    for (int64_t key = begin; key < end; ++key) {
      const absl::Span<const float> v = Value(head, key);
      double square = 0;
      for (int64_t a = 0; a < dim; ++a) {
        double sum = 0;
        for (int64_t b = 0; b < dim; ++b) sum += gram[a * dim + b] * v[b];
        square += v[a] * sum;
      }
      norms[key] = std::sqrt(std::max(square, 0.0));
    }
  });
  return norms;
}

}  // namespace heed
