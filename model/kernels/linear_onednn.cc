#include "model/kernels/linear_onednn.h"

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

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

// Below AVX-512 oneDNN 2.6 computes the last rows of some sizes by another kernel. These two sizes
// were measured to give every row the same bits, with any number of threads.
constexpr int64_t kLargeTile = 16;
constexpr int64_t kSmallTile = 4;

// Rows of the layout probe: the layout that oneDNN chooses here serves every other number of rows.
constexpr int64_t kProbeRows = 128;

// Multiply-adds below which waking a team costs more than it saves: about 10 us of one core's work.
constexpr int64_t kTeamWork = 512 * 1024;

// Runs what it encloses on the calling thread alone when `alone` is set. oneDNN asks OpenMP for its
// team both when it plans and when it executes.
class ScopedTeam {
 public:
  explicit ScopedTeam(bool alone) : threads_(omp_get_max_threads()), alone_(alone && threads_ > 1) {
    if (alone_) omp_set_num_threads(1);
  }
  ~ScopedTeam() {
    if (alone_) omp_set_num_threads(threads_);
  }
  ScopedTeam(const ScopedTeam&) = delete;
  ScopedTeam& operator=(const ScopedTeam&) = delete;

 private:
  const int threads_;
  const bool alone_;
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

// Where element (k, n) of a packed [K, N] weight lies, from the blocked layout's description.
class BlockedIndex {
 public:
  explicit BlockedIndex(const memory::desc& desc) {
#if DNNL_VERSION_MAJOR >= 3
    const memory::dims strides = desc.get_strides();
    const memory::dims blocks = desc.get_inner_blks();
    const memory::dims dims = desc.get_inner_idxs();
    for (size_t i = 0; i < blocks.size(); ++i)
      inner_.push_back({static_cast<int>(dims[i]), blocks[i]});
    offset0_ = desc.get_submemory_offset();
#else
    const auto& blocking = desc.data.format_desc.blocking;
    const int64_t* strides = blocking.strides;
    for (int i = 0; i < blocking.inner_nblks; ++i) {
      inner_.push_back({static_cast<int>(blocking.inner_idxs[i]), blocking.inner_blks[i]});
    }
    offset0_ = desc.data.offset0;
#endif
    for (int d = 0; d < 2; ++d) stride_[d] = strides[d];
  }

  int64_t Offset(int64_t k, int64_t n) const {
    int64_t rest[2] = {k, n};
    int64_t offset = offset0_;
    int64_t block_stride = 1;
    for (auto block = inner_.rbegin(); block != inner_.rend(); ++block) {
      offset += rest[block->dim] % block->size * block_stride;
      rest[block->dim] /= block->size;
      block_stride *= block->size;
    }
    return offset + rest[0] * stride_[0] + rest[1] * stride_[1];
  }

 private:
  struct InnerBlock {
    int dim;
    int64_t size;
  };
  std::vector<InnerBlock> inner_;  // outermost first
  int64_t stride_[2] = {0, 0};
  int64_t offset0_ = 0;
};

class OneDnnLinear : public Linear {
 public:
  OneDnnLinear(ConstMatrixRef weight, absl::Span<const float> bias)
      : in_(weight.cols),
        out_(weight.rows),
        bias_desc_({1, out_}, memory::data_type::f32, memory::format_tag::ab),
        has_bias_(!bias.empty()),
        weight_desc_(ProbeLayout()),
        weight_(weight_desc_, CpuEngine()),
        index_(weight_desc_),
        any_rows_(absl::StartsWith(implementation(), "brg")) {
    const memory::desc given({in_, out_}, memory::data_type::f32, memory::dims{1, weight.stride});
    memory source(given, CpuEngine(), const_cast<float*>(weight.data));
    dnnl::stream stream(CpuEngine());
    dnnl::reorder(source, weight_).execute(stream, source, weight_);
    stream.wait();
    if (has_bias_) {
      bias_ = memory(bias_desc_, CpuEngine());
      std::copy(bias.begin(), bias.end(), static_cast<float*>(bias_.get_data_handle()));
    }
  }

  int64_t in_features() const override { return in_; }
  int64_t out_features() const override { return out_; }
  int64_t weight_bytes() const override {
    return static_cast<int64_t>(weight_desc_.get_size()) + (has_bias_ ? out_ * int64_t{4} : 0);
  }

  void Apply(ConstMatrixRef x, MatrixRef y, Write write) const override {
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

  void CopyWeightRow(int64_t row, absl::Span<float> out) const override {
    const float* packed = static_cast<const float*>(weight_.get_data_handle());
    for (int64_t k = 0; k < in_; ++k) out[k] = packed[index_.Offset(k, row)];
  }

  std::string implementation() const {
    return Describe(kProbeRows, in_, out_, Write::kOverwrite, weight_desc_).impl_info_str();
  }

 private:
  using Key = std::tuple<int64_t, int64_t, int64_t, Write>;  // rows, x stride, y stride

  // Rows of the next primitive when `left` rows are to be done; more than there are: some are to be
  // repeated.
  int64_t PieceRows(int64_t left) const {
    if (!any_rows_) return left >= kLargeTile ? kLargeTile : kSmallTile;
    return left >= kRowStep ? left / kRowStep * kRowStep : std::max(left, kMinRows);
  }

  struct Plan {
    memory::desc src, dst, scratch;
    dnnl::matmul primitive;
  };

  memory::desc ProbeLayout() const {
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
    return MakeDescriptor(Strided(rows, in_, x_stride), weight, has_bias_ ? &bias_desc_ : nullptr,
                          Strided(rows, out_, y_stride), attr);
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
    const ScopedTeam team(x.rows * in_ * out_ < kTeamWork);
    const Plan& plan = PlanFor({x.rows, x.stride, y.stride, write});
    thread_local std::vector<char> scratch;
    scratch.resize(std::max(scratch.size(), plan.scratch.get_size() + 64));
    char* aligned = scratch.data() + (64 - reinterpret_cast<uintptr_t>(scratch.data()) % 64) % 64;
    std::unordered_map<int, memory> args = {
        {DNNL_ARG_SRC, memory(plan.src, CpuEngine(), const_cast<float*>(x.data))},
        {DNNL_ARG_WEIGHTS, weight_},
        {DNNL_ARG_DST, memory(plan.dst, CpuEngine(), y.data)},
        {DNNL_ARG_SCRATCHPAD, memory(plan.scratch, CpuEngine(), aligned)}};
    if (has_bias_) args.insert({DNNL_ARG_BIAS, bias_});
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

  const int64_t in_;
  const int64_t out_;
  const memory::desc bias_desc_;
  const bool has_bias_;
  const memory::desc weight_desc_;  // packed
  memory weight_;
  memory bias_;
  const BlockedIndex index_;
  const bool any_rows_;  // a row's bits do not depend on how many are computed together
  mutable absl::Mutex mutex_;
  mutable std::map<Key, Plan> plans_ ABSL_GUARDED_BY(mutex_);  // entries never move or go
};

}  // namespace

absl::StatusOr<std::unique_ptr<Linear>> PackOneDnnLinear(ConstMatrixRef weight,
                                                         absl::Span<const float> bias) {
  try {
    return std::make_unique<OneDnnLinear>(weight, bias);
  } catch (const dnnl::error& e) {
    return absl::InternalError(absl::StrCat("oneDNN cannot pack a linear layer of ", weight.rows,
                                            " x ", weight.cols, ": ", e.what()));
  }
}

std::string DescribeOneDnn() {
  const dnnl_version_t* version = dnnl_version();
  const std::vector<float> zeros(256 * 256, 0.0f);
  std::string implementation = "unusable";
  try {
    implementation = OneDnnLinear({zeros.data(), 256, 256}, {}).implementation();
  } catch (const dnnl::error&) {
  }
  return absl::StrCat("oneDNN ", version->major, ".", version->minor, ".", version->patch, " ",
                      implementation);
}

}  // namespace heed
