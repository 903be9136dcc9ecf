#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "model/base/cpu.h"
#include "model/base/status_macros.h"
#include "model/kernels/backend.h"
#include "model/kernels/edited_attention.h"
#include "model/kernels/isa_kernels.h"
#include "model/kernels/linear_float.h"
#include "model/kernels/linear_onednn.h"
#include "model/kernels/linear_quantized.h"
#include "model/kernels/parallel.h"
#include "model/kernels/tiled_attention.h"

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

const AttentionKernels& AttentionKernelsFor(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) return Avx512Attention();
  if (isa == Isa::kAvx2) return Avx2Attention();
#endif
  return PortableAttention();
}

class FastBackend : public Backend {
 public:
  explicit FastBackend(Isa isa)
      : isa_(isa),
        kernels_(KernelsFor(isa)),
        attention_kernels_(AttentionKernelsFor(isa)),
        row_kernels_(RowKernelsFor(isa)) {}

  std::string name() const override {
    return absl::StrCat(UsesOneDnn() ? DescribeOneDnn() + ", " : "", IsaName(isa_), " kernels");
  }

  absl::StatusOr<std::unique_ptr<Linear>> PackLinear(const WeightRows& weight,
                                                     absl::Span<const float> bias) const override {
    return UsesOneDnn() ? PackOneDnnLinear(weight, bias, FloatKernelsFor(isa_))
                        : PackFloatLinear(weight, bias, 32, FloatKernelsFor(isa_));
  }

  absl::StatusOr<std::unique_ptr<Linear>> PackRounded(const WeightRows& weight,
                                                      absl::Span<const float> bias, int bits,
                                                      double* relative_error) const override {
    if (bits == 16) {
      return PackFloatLinear(weight, bias, 16, FloatKernelsFor(isa_), relative_error);
    }
    const QuantizedFormat format{.bits = bits, .group = kRoundedGroup};
    return PackQuantizedLinear(weight, bias, format, IntKernelsFor(isa_), relative_error);
  }

  absl::StatusOr<std::unique_ptr<Linear>> PackBlocks(const BlockRows& blocks,
                                                     absl::Span<const float> bias) const override {
    return PackBlockLinear(blocks, bias, IntKernelsFor(isa_));
  }

  absl::StatusOr<std::unique_ptr<Linear>> NewLinear(const LinearForm& form) const override {
    if (form.bits == 32 && UsesOneDnn()) return NewOneDnnLinear(form, FloatKernelsFor(isa_));
    return form.bits >= 16 ? NewFloatLinear(form, FloatKernelsFor(isa_))
                           : NewQuantizedLinear(form, IntKernelsFor(isa_));
  }

  // The instruction set is in what oneDNN says of itself too, but not one that was forced.
  std::string packing() const override {
    const std::string one_dnn = UsesOneDnn() ? DescribeOneDnn() : "no oneDNN";
    return absl::StrCat(one_dnn, ", ", IsaName(isa_), ", ", IntPacking(*IntKernelsFor(isa_)),
                        ", floats ", kFloatStorageVersion);
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
      for (int64_t r = begin; r < end; ++r) {
        float* const row = x.Row(r).data();
        kernels_.activate(code, row, row, x.cols);
      }
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

  void ApplyActivated(Activation activation, const Linear& linear, MatrixRef x, MatrixRef room,
                      MatrixRef y, Linear::Write write) const override {
    const ActivationCode code = CodeOf(activation);
    const int64_t n = linear.in_features();
    const auto make = [&](int64_t row, int64_t begin, int64_t end, float* out) {
      const float* const from = x.Row(row).data();
      if (x.cols > n) {
        kernels_.activate_gated(code, from + begin, from + n + begin, out, end - begin);
      } else {
        kernels_.activate(code, from + begin, out, end - begin);
      }
    };
    if (linear.ApplyMade(make, y, write)) return;
    Backend::ApplyActivated(activation, linear, x, room, y, write);
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
        const int64_t row = begin - first_position;
        KvStoreArgs args;
        args.kv_type = pages.type;
        args.keys = keys.Row(row).data();
        args.key_stride = keys.stride;
        args.values = values.Row(row).data();
        args.value_stride = values.stride;
        args.rows = std::min(end, (p + 1) * kPageTokens) - begin;
        args.n_kv_heads = keys.cols / head_dim;
        args.head_dim = head_dim;
        args.token = begin % kPageTokens;
        args.page = pages.pages[p];
        attention_kernels_.store(args);
      }
    });
  }

  void Attend(const AttentionShape& shape, absl::Span<const AttentionSlice> slices) const override {
    AttendTiled(attention_kernels_, shape, slices);
    AttendEdited(row_kernels_, shape, slices);
  }

 private:
  // f32 layers. With AVX2 alone oneDNN 2.6 is three times as slow as our own kernels.
  bool UsesOneDnn() const { return isa_ == Isa::kAvx512 && OneDnnKeepsRows(); }

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

  const Isa isa_;
  const IsaKernels& kernels_;
  const AttentionKernels& attention_kernels_;
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
  HEED_RETURN_IF_ERROR(HoldProcessTo(isa));
  if (isa != "auto") HEED_RETURN_IF_ERROR(LimitOneDnn(DetectCpu().isa));
  return DefaultBackend();
}

}  // namespace heed
