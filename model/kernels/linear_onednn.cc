#include "model/kernels/linear_onednn.h"

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "model/base/aligned_buffer.h"
#include "model/base/status_macros.h"
#include "model/kernels/few_rows.h"
#include "model/kernels/parallel.h"
#include "model/kernels/weight_strips.h"

namespace heed {
namespace {

using dnnl::memory;

// In 3.x a single f32 row may take a GEMV whose bits differ from the same row among others; two
// rows never do.
#if DNNL_VERSION_MAJOR >= 3
constexpr int64_t kMinRows = 2;
#else
constexpr int64_t kMinRows = 1;
#endif

// Rows are run in one primitive for the largest multiple of kRowStep and one for the rest, so that
// a layer needs few primitives whatever sizes the batches have.
constexpr int64_t kRowStep = 16;

// Rows of the layout probe: the layout that oneDNN chooses here serves every other number of rows.
constexpr int64_t kProbeRows = 128;

// Multiply-adds below which waking a team costs more than it saves: about 10 us of one core's work.
constexpr int64_t kTeamWork = 512 * 1024;

// Rows of a block of a large product, where there are more than one for each thread.
constexpr int64_t kBlockRows = 128;

// Rows that are read at a time, and what is packed of them at a time: few rows, because those of
// some widths all compete for the same lines of a cache.
constexpr int64_t kFillRows = 64;
constexpr int64_t kTileRows = 8;
constexpr int64_t kTileCols = 16;

// Lets oneDNN compute what it encloses on the calling thread alone: it asks OpenMP for its team
// both when it plans and when it executes.
class ScopedAlone {
 public:
  ScopedAlone() : threads_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~ScopedAlone() { omp_set_num_threads(threads_); }
  ScopedAlone(const ScopedAlone&) = delete;
  ScopedAlone& operator=(const ScopedAlone&) = delete;

 private:
  const int threads_;
};

const dnnl::engine& CpuEngine() {
  static const dnnl::engine& engine = *new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

memory::desc Strided(int64_t rows, int64_t cols, int64_t stride) {
  return memory::desc({rows, cols}, memory::data_type::f32, memory::dims{stride, 1});
}

dnnl::matmul::primitive_desc MakeDescriptor(const memory::desc& src, const memory::desc& weight,
                                            const memory::desc* bias, const memory::desc& dst,
                                            const dnnl::primitive_attr& attr) {
#if DNNL_VERSION_MAJOR >= 3
  return bias != nullptr ? dnnl::matmul::primitive_desc(CpuEngine(), src, weight, *bias, dst, attr)
                         : dnnl::matmul::primitive_desc(CpuEngine(), src, weight, dst, attr);
#else
  const auto desc = bias != nullptr ? dnnl::matmul::desc(src, weight, *bias, dst)
                                    : dnnl::matmul::desc(src, weight, dst);
  return dnnl::matmul::primitive_desc(desc, attr, CpuEngine());
#endif
}

// Where element (k, n) of a packed [K, N] weight lies: at k[k] + n[n], whatever blocks the layout
// has, since each cuts up one of the two.
struct PackedOffsets {
  std::vector<int64_t> k, n;

  PackedOffsets(const memory::desc& desc, int64_t in, int64_t out) : k(in), n(out) {
#if DNNL_VERSION_MAJOR >= 3
    const memory::dims strides = desc.get_strides();
    const memory::dims sizes = desc.get_inner_blks();
    const memory::dims dims = desc.get_inner_idxs();
    const int64_t offset0 = desc.get_submemory_offset();
    const auto count = static_cast<int>(sizes.size());
#else
    const auto& blocking = desc.data.format_desc.blocking;
    const int64_t* strides = blocking.strides;
    const int64_t* sizes = blocking.inner_blks;
    const int64_t* dims = blocking.inner_idxs;
    const int64_t offset0 = desc.data.offset0;
    const int count = blocking.inner_nblks;
#endif
    const auto fill = [&](int dim, std::vector<int64_t>& offsets) {
      for (size_t i = 0; i < offsets.size(); ++i) {
        auto rest = static_cast<int64_t>(i);
        int64_t block_stride = 1;
        for (int block = count - 1; block >= 0; --block) {  // innermost first
          if (dims[block] == dim) {
            offsets[i] += rest % sizes[block] * block_stride;
            rest /= sizes[block];
          }
          block_stride *= sizes[block];
        }
        offsets[i] += rest * strides[dim];
      }
    };
    fill(0, k);
    fill(1, n);
    for (int64_t& offset : n) offset += offset0;
  }
};

class OneDnnLinear : public Linear {
 public:
  // Its memory has yet to be filled.
  explicit OneDnnLinear(const LinearForm& form)
      : form_(form),
        in_(form.cols),
        out_(form.rows),
        bias_desc_({1, out_}, memory::data_type::f32, memory::format_tag::ab),
        weight_desc_(ProbeLayout()),
        storage_(static_cast<int64_t>(weight_desc_.get_size() / sizeof(float))),
        weight_(weight_desc_, CpuEngine(), storage_.data()),
        offsets_(weight_desc_, in_, out_) {
    if (form.has_bias) bias_ = memory(bias_desc_, CpuEngine());
  }

  absl::Status Fill(const WeightRows& weight, absl::Span<const float> bias) {
    // What fills up blocks must be 0.
    const auto values = static_cast<size_t>(in_ * out_) * sizeof(float);
    if (weight_desc_.get_size() > values) {
      std::memset(weight_.get_data_handle(), 0, weight_desc_.get_size());
    }
    std::copy(bias.begin(), bias.end(), Bias());
    return ForEachStrip(weight, kFillRows, [this](int64_t first, ConstMatrixRef rows) {
      FillStrip(first, rows);
      return absl::OkStatus();
    });
  }

  const LinearForm& form() const override { return form_; }
  std::vector<absl::Span<char>> storage() override {
    std::vector<absl::Span<char>> spans = {
        {static_cast<char*>(weight_.get_data_handle()), weight_desc_.get_size()}};
    if (form_.has_bias) {
      spans.push_back({reinterpret_cast<char*>(Bias()), static_cast<size_t>(out_) * sizeof(float)});
    }
    return spans;
  }

  int64_t in_features() const override { return in_; }
  int64_t out_features() const override { return out_; }
  int64_t weight_bytes() const override {
    return static_cast<int64_t>(weight_desc_.get_size()) + (form_.has_bias ? out_ * int64_t{4} : 0);
  }

  // Afterwards its memory has yet to be filled, again.
  void ImitateWith(const FloatKernels* kernels) {
    if (kernels == nullptr) return;
    const std::optional<FloatPanels> panels = Panels();
    if (!panels.has_value()) return;
    if (form_.has_bias) std::fill_n(Bias(), out_, 0.0f);
    few_rows_ = FewRows::Imitate(*panels, kernels, [this](ConstMatrixRef x, MatrixRef y) {
      RunMany(x, y, Write::kOverwrite);
    });
  }

  void Apply(ConstMatrixRef x, MatrixRef y, Write write) const override {
    if (few_rows_.has_value() && x.rows <= FewRows::kMost) {
      return few_rows_->Apply(x, Bias(), y, write);
    }
    RunMany(x, y, write);
  }

  void CopyWeightRow(int64_t row, absl::Span<float> out) const override {
    const float* packed = static_cast<const float*>(weight_.get_data_handle());
    packed += offsets_.n[row];
    for (int64_t k = 0; k < in_; ++k) out[k] = packed[offsets_.k[k]];
  }

  std::string implementation() const { return ImplementationFor(kProbeRows); }

  // Of many rows, and of the fewest.
  absl::Status CheckImplementations() const {
    for (int64_t rows : {kProbeRows, PieceRows(1)}) {
      HEED_RETURN_IF_ERROR(CheckOneDnnImplementation(ImplementationFor(rows)));
    }
    return absl::OkStatus();
  }

 private:
  using Key = std::tuple<int64_t, int64_t, int64_t, Write>;  // rows, x stride, y stride

  std::string ImplementationFor(int64_t rows) const {
    const ScopedAlone alone;
    return Describe(rows, in_, out_, Write::kOverwrite, weight_desc_).impl_info_str();
  }

  float* Bias() const {
    return form_.has_bias ? static_cast<float*>(bias_.get_data_handle()) : nullptr;
  }

  void FillStrip(int64_t first, ConstMatrixRef rows) {
    for (int64_t k = 0; k < in_; k += kTileCols) {
      for (int64_t r = 0; r < rows.rows; r += kTileRows) {
        FillTile(first, rows, r, std::min(rows.rows, r + kTileRows), k,
                 std::min(in_, k + kTileCols));
      }
    }
  }

  void FillTile(int64_t first, ConstMatrixRef rows, int64_t r0, int64_t r1, int64_t k0,
                int64_t k1) {
    auto* const packed = static_cast<float*>(weight_.get_data_handle());
    const int64_t* const n = offsets_.n.data() + first;
    for (int64_t k = k0; k < k1; ++k) {
      float* const to = packed + offsets_.k[k];
      for (int64_t r = r0; r < r1; ++r) to[n[r]] = rows.data[r * rows.stride + k];
    }
  }

  // Rows of the next primitive when `left` rows are to be done; more than there are: some are to be
  // repeated.
  int64_t PieceRows(int64_t left) const {
    return left >= kRowStep ? left / kRowStep * kRowStep : std::max(left, kMinRows);
  }

  // The rows of a large product are cut into blocks for the threads to take in turn. Its columns
  // are not: with fewer of them oneDNN may add in another order.
  void RunMany(ConstMatrixRef x, MatrixRef y, Write write) const {
    const int64_t steps = x.rows / kRowStep;
    const bool alone = steps < 2 || x.rows * in_ * out_ < kTeamWork;
    const int64_t blocks = alone ? 1 : CountBlocks(steps);
    ParallelFor(blocks, !alone, [&](int64_t block) {
      const int64_t first = steps * block / blocks * kRowStep;
      const int64_t end = block + 1 == blocks ? x.rows : steps * (block + 1) / blocks * kRowStep;
      RunPieces(x.Rows(first, end - first), y.Rows(first, end - first), write);
    });
  }

  static int64_t CountBlocks(int64_t steps) {
    const int64_t most = std::max(MaxThreads(), steps * kRowStep / kBlockRows);
    return std::min(steps, most);
  }

  void RunPieces(ConstMatrixRef x, MatrixRef y, Write write) const {
    const ScopedAlone alone;
    for (int64_t row = 0; row < x.rows;) {
      const int64_t size = PieceRows(x.rows - row);
      const int64_t count = std::min(size, x.rows - row);
      if (count < size) {
        RunPadded(x.Rows(row, count), y.Rows(row, count), size, write);
      } else {
        Run(x.Rows(row, count), y.Rows(row, count), write);
      }
      row += count;
    }
  }

  // nullopt: the layout is another one.
  std::optional<FloatPanels> Panels() const {
    if (in_ < 2) return std::nullopt;
    FloatPanels panels{.weights = static_cast<float*>(weight_.get_data_handle()) + offsets_.n[0],
                       .in = in_,
                       .out = out_,
                       .cols = offsets_.k[1]};
    if (out_ > panels.cols) panels.stride = offsets_.n[panels.cols] - offsets_.n[0];
    bool fits = true;
    for (int64_t k = 0; k < in_; ++k) fits = fits && offsets_.k[k] == k * panels.cols;
    for (int64_t n = 0; n < out_; ++n) {
      const int64_t offset = n / panels.cols * panels.stride + n % panels.cols;
      fits = fits && offsets_.n[n] == offsets_.n[0] + offset;
    }
    return fits ? std::optional(panels) : std::nullopt;
  }

  struct Plan {
    memory::desc src, dst, scratch;
    dnnl::matmul primitive;
  };

  memory::desc ProbeLayout() const {
    const ScopedAlone alone;
    const memory::desc any({in_, out_}, memory::data_type::f32, memory::format_tag::any);
    return Describe(kProbeRows, in_, out_, Write::kOverwrite, any).weights_desc();
  }

  dnnl::matmul::primitive_desc Describe(int64_t rows, int64_t x_stride, int64_t y_stride,
                                        Write write, const memory::desc& weight) const {
    dnnl::primitive_attr attr;
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    if (write == Write::kAccumulate) {
      dnnl::post_ops ops;
      ops.append_sum(1.0f);
      attr.set_post_ops(ops);
    }
    return MakeDescriptor(Strided(rows, in_, x_stride), weight,
                          form_.has_bias ? &bias_desc_ : nullptr, Strided(rows, out_, y_stride),
                          attr);
  }

  const Plan& PlanFor(const Key& key) const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    auto it = plans_.find(key);
    if (it == plans_.end()) {
      const auto [rows, x_stride, y_stride, write] = key;
      const auto desc = Describe(rows, x_stride, y_stride, write, weight_desc_);
      Plan plan{desc.src_desc(), desc.dst_desc(), desc.scratchpad_desc(), dnnl::matmul(desc)};
      it = plans_.emplace(key, std::move(plan)).first;
    }
    return it->second;
  }

  void Run(ConstMatrixRef x, MatrixRef y, Write write) const {
    const Plan& plan = PlanFor({x.rows, x.stride, y.stride, write});
    thread_local std::vector<char> scratch;
    scratch.resize(std::max(scratch.size(), plan.scratch.get_size() + 64));
    char* aligned = scratch.data() + (64 - reinterpret_cast<uintptr_t>(scratch.data()) % 64) % 64;
    std::unordered_map<int, memory> args = {
        {DNNL_ARG_SRC, memory(plan.src, CpuEngine(), const_cast<float*>(x.data))},
        {DNNL_ARG_WEIGHTS, weight_},
        {DNNL_ARG_DST, memory(plan.dst, CpuEngine(), y.data)},
        {DNNL_ARG_SCRATCHPAD, memory(plan.scratch, CpuEngine(), aligned)}};
    if (form_.has_bias) args.insert({DNNL_ARG_BIAS, bias_});
    dnnl::stream stream(CpuEngine());
    plan.primitive.execute(stream, args);
    stream.wait();
  }

  // Runs `size` rows, more than there are, by repeating the last one.
  void RunPadded(ConstMatrixRef x, MatrixRef y, int64_t size, Write write) const {
    std::vector<float> in(size * in_), out(size * out_);
    for (int64_t r = 0; r < size; ++r) {
      const int64_t from = std::min(r, x.rows - 1);
      std::copy_n(x.Row(from).data(), in_, in.data() + r * in_);
      std::copy_n(y.Row(from).data(), out_, out.data() + r * out_);
    }
    Run({in.data(), size, in_}, {out.data(), size, out_}, write);
    for (int64_t r = 0; r < x.rows; ++r) std::copy_n(out.data() + r * out_, out_, y.Row(r).data());
  }

  const LinearForm form_;
  const int64_t in_;
  const int64_t out_;
  const memory::desc bias_desc_;
  const memory::desc weight_desc_;  // packed
  AlignedBuffer storage_;
  memory weight_;  // in storage_
  memory bias_;
  const PackedOffsets offsets_;
  std::optional<FewRows> few_rows_;
  mutable absl::Mutex mutex_;
  mutable std::map<Key, Plan> plans_ ABSL_GUARDED_BY(mutex_);  // entries never move or go
};

absl::StatusOr<std::unique_ptr<OneDnnLinear>> NewOneDnn(const LinearForm& form,
                                                        const FloatKernels* few_rows) {
  try {
    auto linear = std::make_unique<OneDnnLinear>(form);
    HEED_RETURN_IF_ERROR(linear->CheckImplementations());
    linear->ImitateWith(few_rows);
    return linear;
  } catch (const dnnl::error& e) {
    const std::string message = absl::StrCat("oneDNN cannot pack a linear layer of ", form.rows,
                                             " x ", form.cols, ": ", e.what());
    return e.status == dnnl_out_of_memory ? absl::ResourceExhaustedError(message)
                                          : absl::InternalError(message);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Linear>> PackOneDnnLinear(const WeightRows& weight,
                                                         absl::Span<const float> bias,
                                                         const FloatKernels* few_rows) {
  const LinearForm form{.rows = weight.rows, .cols = weight.cols, .has_bias = !bias.empty()};
  HEED_ASSIGN_OR_RETURN(auto linear, NewOneDnn(form, few_rows));
  HEED_RETURN_IF_ERROR(linear->Fill(weight, bias));
  return linear;
}

absl::StatusOr<std::unique_ptr<Linear>> NewOneDnnLinear(const LinearForm& form,
                                                        const FloatKernels* few_rows) {
  return NewOneDnn(form, few_rows);
}

namespace {

// Of a typical layer.
const std::string& TypicalImplementation() {
  static const std::string& name = *new std::string([]() -> std::string {
    try {
      return OneDnnLinear({.rows = 256, .cols = 256}).implementation();
    } catch (const dnnl::error&) {
      return "unusable";
    }
  }());
  return name;
}

}  // namespace

std::string DescribeOneDnn() {
  const dnnl_version_t* version = dnnl_version();
  return absl::StrCat("oneDNN ", version->major, ".", version->minor, ".", version->patch, " ",
                      TypicalImplementation());
}

bool OneDnnKeepsRows() {
  return absl::StartsWith(TypicalImplementation(), "brg");
}

absl::Status CheckOneDnnImplementation(absl::string_view name) {
  if (!absl::StartsWith(name, "ref")) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("oneDNN would compute this layer with its implementation \"", name,
                   "\", which is far too slow to be used; another version of oneDNN may have a "
                   "better one for this machine"));
}

absl::Status LimitOneDnn(Isa isa) {
  if (isa == Isa::kAvx512) return absl::OkStatus();
  const dnnl::cpu_isa limit = isa == Isa::kAvx2 ? dnnl::cpu_isa::avx2 : dnnl::cpu_isa::sse41;
  if (dnnl::set_max_cpu_isa(limit) == dnnl::status::success) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "oneDNN has chosen its instructions already; name the kernels before anything runs");
}

}  // namespace heed
