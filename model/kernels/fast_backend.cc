#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "model/base/aligned_buffer.h"
#include "model/base/cpu.h"
#include "model/base/status_macros.h"
#include "model/kernels/backend.h"
#include "model/kernels/edited_attention.h"
#include "model/kernels/int_matrix.h"
#include "model/kernels/isa_kernels.h"
#include "model/kernels/linear_onednn.h"
#include "model/kernels/linear_quantized.h"
#include "model/kernels/parallel.h"

namespace heed {
namespace {

// Elements below which a team of threads costs more than it saves.
constexpr int64_t kParallelElements = 32 * 1024;

const IsaKernels& KernelsFor(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) return Avx512Kernels();
  if (isa == Isa::kAvx2) return Avx2Kernels();
#endif
  return PortableKernels();
}

const RowKernels& RowKernelsFor(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) return Avx512RowKernels();
  if (isa == Isa::kAvx2) return Avx2RowKernels();
#endif
  return PortableRowKernels();
}

ActivationCode CodeOf(Activation activation) {
  switch (activation) {
    case Activation::kGeluTanh:
      return ActivationCode::kGeluTanh;
    case Activation::kGeluErf:
      return ActivationCode::kGeluErf;
    case Activation::kSilu:
      return ActivationCode::kSilu;
    case Activation::kRelu:
      return ActivationCode::kRelu;
  }
  return ActivationCode::kRelu;
}

// One tile of attention work: some query positions of one slice, with some of the heads that share
// keys and values.
struct Tile {
  const AttentionSlice* slice;
  int64_t head;  // the first
  int64_t heads;
  int64_t row;  // of the slice's queries
  int64_t positions;
};

// Those with the most keys come first, so that no thread is left with one at the end.
void MakeTiles(const AttentionShape& shape, absl::Span<const AttentionSlice> slices,
               std::vector<Tile>& tiles) {
  const int64_t group = shape.n_heads / shape.n_kv_heads;
  const int64_t heads = std::min(group, kMaxTileRows);
  const int64_t positions = kMaxTileRows / heads;
  tiles.clear();
  for (const AttentionSlice& slice : slices) {
    for (int64_t end = slice.query.rows; end > 0; end -= positions) {
      const int64_t row = std::max<int64_t>(0, end - positions);
      for (int64_t kv_head = 0; kv_head < shape.n_kv_heads; ++kv_head) {
        for (int64_t h = 0; h < group; h += heads) {
          tiles.push_back(
              {&slice, kv_head * group + h, std::min(heads, group - h), row, end - row});
        }
      }
    }
  }
}

// The rows of one head that are watched, in a finished tile, to the slice's sink.
void ReportHead(const Tile& tile, const AttentionTileArgs& args, const IsaKernels& kernels,
                int64_t h, bool causal) {
  const AttentionRows& watched = tile.slice->watched;
  const int head = static_cast<int>(tile.head + h);
  const int64_t first = tile.slice->first_position + tile.row;
  thread_local AlignedBuffer weights;
  weights.Grow((args.key_limit + kPageTokens - 1) / kPageTokens * kPageTokens);
  auto query = std::lower_bound(watched.queries.begin(), watched.queries.end(), first);
  for (; query != watched.queries.end() && *query < first + tile.positions; ++query) {
    if (IsEdited(*tile.slice, head, *query)) continue;
    const int64_t p = *query - first;
    const int64_t begin = FirstKey(args, p), end = KeyEnd(args, p);
    const int64_t reported = causal ? end : args.key_limit;
    kernels.attention_weights(args, p * args.heads + h, weights.data());
    std::fill_n(weights.data(), begin, 0.0f);
    std::fill_n(weights.data() + end, reported - end, 0.0f);
    tile.slice->sink->OnRow(head, *query, {weights.data(), static_cast<size_t>(reported)});
  }
}

void Report(const Tile& tile, const AttentionTileArgs& args, const IsaKernels& kernels,
            bool causal) {
  const AttentionRows& watched = tile.slice->watched;
  if (watched.empty()) return;
  for (int64_t h = 0; h < tile.heads; ++h) {
    const int head = static_cast<int>(tile.head + h);
    if (std::binary_search(watched.heads.begin(), watched.heads.end(), head)) {
      ReportHead(tile, args, kernels, h, causal);
    }
  }
}

// Which of a sequence's `keys` each row of a tile sees. A window without a causal mask reaches to
// both sides, so that it moves with the rows and is cut off at the ends.
void SetVisibleKeys(const AttentionShape& shape, int64_t keys, AttentionTileArgs& args) {
  const bool is_sliding = shape.causal || shape.window != 0;
  args.key_limit = keys;
  args.visible_step = is_sliding ? 1 : 0;
  args.first_visible = is_sliding ? args.query_position + 1 : keys;
  args.window = shape.window;
  if (shape.causal || shape.window == 0) return;
  args.first_visible += shape.window - 1;
  args.window = 2 * shape.window - 1;
}

absl::StatusOr<Isa> ParseIsa(absl::string_view name) {
  if (name == "avx512") return Isa::kAvx512;
  if (name == "avx2") return Isa::kAvx2;
  if (name == "portable") return Isa::kPortable;
  return absl::InvalidArgumentError(
      absl::StrCat("there are no kernels named '", name, "'; say auto, avx512, avx2 or portable"));
}

class FastBackend : public Backend {
 public:
  explicit FastBackend(Isa isa)
      : isa_(isa), kernels_(KernelsFor(isa)), row_kernels_(RowKernelsFor(isa)) {}

  std::string name() const override {
    return absl::StrCat(DescribeOneDnn(), ", ", IsaName(isa_), " kernels");
  }

  absl::StatusOr<std::unique_ptr<Linear>> PackLinear(const WeightRows& weight,
                                                     absl::Span<const float> bias) const override {
    return PackOneDnnLinear(weight, bias);
  }

  absl::StatusOr<std::unique_ptr<Linear>> PackRounded(const WeightRows& weight,
                                                      absl::Span<const float> bias, int bits,
                                                      double* relative_error) const override {
    const QuantizedFormat format{.bits = bits, .group = RoundedGroup(bits)};
    return PackQuantizedLinear(weight, bias, format, IntKernelsFor(isa_), relative_error);
  }

  absl::StatusOr<std::unique_ptr<Linear>> PackBlocks(const BlockRows& blocks,
                                                     absl::Span<const float> bias) const override {
    return PackBlockLinear(blocks, bias, IntKernelsFor(isa_));
  }

  absl::StatusOr<std::unique_ptr<Linear>> NewLinear(const LinearForm& form) const override {
    return form.bits == 32 ? NewOneDnnLinear(form) : NewQuantizedLinear(form, IntKernelsFor(isa_));
  }

  // The instruction set is in what oneDNN says of itself too, but not one that was forced.
  std::string packing() const override {
    static const std::string& one_dnn = *new std::string(DescribeOneDnn());
    return absl::StrCat(one_dnn, ", ", IsaName(isa_), ", integers ", kIntStorageVersion);
  }

  void Normalize(NormKind kind, const NormParameters& norm, ConstMatrixRef x,
                 MatrixRef y) const override {
    ParallelBlocks(x.rows, Grain(x.cols), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        NormalizeRow(kind, norm, x.Row(r).data(), y.Row(r).data(), x.cols);
      }
    });
  }

  void NormalizeHeads(NormKind kind, const NormParameters& norm, MatrixRef x,
                      int head_dim) const override {
    ParallelBlocks(x.rows, Grain(x.cols), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        for (int64_t h = 0; h < x.cols; h += head_dim) {
          float* const head = x.Row(r).data() + h;
          NormalizeRow(kind, norm, head, head, head_dim);
        }
      }
    });
  }

  void Rotate(MatrixRef x, int head_dim, ConstMatrixRef cos, ConstMatrixRef sin) const override {
    ParallelBlocks(x.rows, Grain(x.cols), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        for (int64_t h = 0; h < x.cols; h += head_dim) {
          kernels_.rotate(x.Row(r).data() + h, cos.Row(r).data(), sin.Row(r).data(), cos.cols);
        }
      }
    });
  }

  void Activate(Activation activation, MatrixRef x) const override {
    const ActivationCode code = CodeOf(activation);
    ParallelBlocks(x.rows, Grain(x.cols), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) kernels_.activate(code, x.Row(r).data(), x.cols);
    });
  }

  void ActivateGated(Activation activation, ConstMatrixRef gate_up, MatrixRef y) const override {
    const ActivationCode code = CodeOf(activation);
    ParallelBlocks(y.rows, Grain(y.cols), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const float* gate = gate_up.Row(r).data();
        kernels_.activate_gated(code, gate, gate + y.cols, y.Row(r).data(), y.cols);
      }
    });
  }

  void SoftCap(float cap, MatrixRef x) const override {
    ParallelBlocks(x.rows, Grain(x.cols), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) kernels_.soft_cap(cap, x.Row(r).data(), x.cols);
    });
  }

  void Add(ConstMatrixRef x, MatrixRef y) const override {
    ParallelBlocks(y.rows, Grain(y.cols), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const float* const from = x.Row(r).data();
        float* const to = y.Row(r).data();
        for (int64_t i = 0; i < y.cols; ++i) to[i] += from[i];
      }
    });
  }

  void StoreKeysValues(ConstMatrixRef keys, ConstMatrixRef values, int head_dim,
                       int64_t first_position, KvPages pages) const override {
    const int64_t end = first_position + keys.rows;
    const int64_t first_page = first_position / kPageTokens;
    const int64_t n_pages = (end + kPageTokens - 1) / kPageTokens - first_page;
    ParallelBlocks(n_pages, Grain(2 * kPageTokens * keys.cols), [&](int64_t from, int64_t to) {
      for (int64_t p = first_page + from; p < first_page + to; ++p) {
        const int64_t begin = std::max(first_position, p * kPageTokens);
        const int64_t count = std::min(end, (p + 1) * kPageTokens) - begin;
        StorePage(keys.Rows(begin - first_position, count),
                  values.Rows(begin - first_position, count), head_dim, begin % kPageTokens,
                  pages[p]);
      }
    });
  }

  void Attend(const AttentionShape& shape, absl::Span<const AttentionSlice> slices) const override {
    thread_local std::vector<Tile> tiles_of_thread;
    MakeTiles(shape, slices, tiles_of_thread);
    const absl::Span<const Tile> tiles = tiles_of_thread;  // this thread's, for the whole team
    int64_t work = 0;
    for (const AttentionSlice& slice : slices) {
      work += slice.query.rows * (slice.first_position + slice.query.rows) * shape.head_dim *
              shape.n_heads;
    }
    ParallelFor(static_cast<int64_t>(tiles.size()), work > 8 * kParallelElements,
                [&](int64_t i) { RunTile(shape, tiles[i]); });
    AttendEdited(row_kernels_, shape, slices);
  }

 private:
  static int64_t Grain(int64_t cols) {
    return std::max<int64_t>(1, kParallelElements / std::max<int64_t>(cols, 1));
  }

  void NormalizeRow(NormKind kind, const NormParameters& norm, const float* x, float* y,
                    int64_t n) const {
    const float* const bias = norm.bias.empty() ? nullptr : norm.bias.data();
    if (kind == NormKind::kLayerNorm) {
      kernels_.layer_norm(x, norm.weight.data(), bias, norm.eps, y, n);
    } else {
      kernels_.rms_norm(x, norm.weight.data(), norm.eps, y, n);
    }
  }

  // Into one page, from its token `token` on.
  static void StorePage(ConstMatrixRef keys, ConstMatrixRef values, int head_dim, int64_t token,
                        float* page) {
    const int64_t head_floats = head_dim * kPageTokens;
    for (int64_t i = 0; i < keys.cols; ++i) {
      float* const lanes = page + i * kPageTokens + token;
      for (int64_t r = 0; r < keys.rows; ++r) lanes[r] = keys.data[r * keys.stride + i];
    }
    float* const value_page = page + keys.cols * kPageTokens + token * head_dim;
    for (int64_t r = 0; r < values.rows; ++r) {
      for (int64_t h = 0; h * head_dim < values.cols; ++h) {
        std::copy_n(values.Row(r).data() + h * head_dim, head_dim,
                    value_page + h * head_floats + r * head_dim);
      }
    }
  }

  void RunTile(const AttentionShape& shape, const Tile& tile) const {
    const AttentionSlice& slice = *tile.slice;
    thread_local AlignedBuffer scratch;
    scratch.Grow(AttentionScratchFloats(shape.head_dim));
    const int64_t kv_head = tile.head / (shape.n_heads / shape.n_kv_heads);
    const int64_t head_floats = shape.head_dim * kPageTokens;
    const int64_t offset = tile.head * shape.head_dim;
    AttentionTileArgs args;
    args.query = slice.query.Row(tile.row).data() + offset;
    args.query_stride = slice.query.stride;
    args.output = slice.output.Row(tile.row).data() + offset;
    args.output_stride = slice.output.stride;
    args.pages = slice.pages.data();
    args.key_offset = kv_head * head_floats;
    args.value_offset = (shape.n_kv_heads + kv_head) * head_floats;
    args.positions = tile.positions;
    args.heads = tile.heads;
    args.query_position = slice.first_position + tile.row;
    SetVisibleKeys(shape, slice.first_position + slice.query.rows, args);
    args.head_dim = shape.head_dim;
    args.scale = shape.scale;
    args.soft_cap = shape.soft_cap;
    args.slopes = shape.slopes.empty() ? nullptr : shape.slopes.data() + tile.head;
    args.scratch = scratch.data();
    kernels_.attention_tile(args);
    Report(tile, args, kernels_, shape.causal);
  }

  const Isa isa_;
  const IsaKernels& kernels_;
  const RowKernels& row_kernels_;
};

}  // namespace

const Backend* DefaultBackend() {
  static const Backend* const backend = new FastBackend(DetectCpu().isa);
  return backend;
}

const Backend* BackendFor(Isa isa) {
  static const Backend* const backends[] = {
      new FastBackend(Isa::kPortable), new FastBackend(Isa::kAvx2), new FastBackend(Isa::kAvx512)};
  return backends[static_cast<int>(isa)];
}

absl::StatusOr<const Backend*> BackendNamed(absl::string_view isa) {
  if (isa == "auto") return DefaultBackend();
  HEED_ASSIGN_OR_RETURN(const Isa chosen, ParseIsa(isa));
  const CpuFacts facts = DetectCpu();
  if (chosen > facts.isa) {
    return absl::FailedPreconditionError(
        absl::StrCat("this machine has no ", IsaName(chosen), ", only ", facts.Instructions()));
  }
  HEED_RETURN_IF_ERROR(LimitOneDnn(chosen));
  return BackendFor(chosen);
}

}  // namespace heed
