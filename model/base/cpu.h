// What the machine lets this process use: threads by cgroup quota and affinity, and vector
// instructions.
#ifndef HEED_MODEL_BASE_CPU_H_
#define HEED_MODEL_BASE_CPU_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace heed {

// Instruction sets that heed's own kernels are compiled for, each a superset of the one before.
enum class Isa { kPortable, kAvx2, kAvx512 };

absl::string_view IsaName(Isa isa);  // "portable", "AVX2", "AVX-512"

struct CpuFacts {
  int online_cpus = 1;               // of the host
  int affinity_cpus = 1;             // that the scheduler may run us on
  std::optional<double> quota_cpus;  // cgroup CPU quota, in CPUs; absent: unlimited
  int threads = 1;                   // the decision: min(affinity, ceil(quota)), at least 1
  Isa isa = Isa::kPortable;          // best the CPU and the kernel offer
  bool avx_vnni = false;             // dot products of bytes, in vectors of 256 bits
  bool avx512_vnni = false;          // and of 512
  // Tiles of bfloat16, with leave from the kernel to use them, and half precision and bfloat16 in
  // vectors; only with avx512_vnni.
  bool amx = false;

  std::string Instructions() const;  // "AVX-512 VNNI AMX"

  // What the number of threads follows from: "affinity 2 of 4 CPUs, quota 1.5".
  std::string Limits() const;

  // One line for logs: "2 threads (affinity 2 of 2 CPUs, quota 1.5), AVX-512 VNNI".
  std::string ToString() const;
};

// Reads /proc and /sys afresh; never fails (what cannot be read counts as unlimited). The CPUs that
// a cgroup's cpuset allows are those of the affinity. The instructions are those that the process
// is held to.
CpuFacts DetectCpu();

// `machine` with no better instructions than those that an operator names: "auto" for all it has;
// "amx"; "avx512", with VNNI where there is; "avxvnni", which is AVX2 with VNNI; "avx2";
// "portable". INVALID_ARGUMENT for another name,
// FAILED_PRECONDITION where `machine` lacks them.
absl::StatusOr<CpuFacts> HoldTo(absl::string_view isa, CpuFacts machine);

// Holds the process to instructions by the same names: from now on DetectCpu() knows no better
// ones. What was chosen before stays, so call it first. Errors as HoldTo.
absl::Status HoldProcessTo(absl::string_view isa);

// CPU quota in CPUs from the contents of cgroup v2 `cpu.max` ("150000 100000", "max 100000");
// absent when unlimited or malformed.
std::optional<double> ParseCpuMax(absl::string_view cpu_max);

// CPU quota in CPUs from cgroup v1 cpu.cfs_quota_us and cpu.cfs_period_us.
std::optional<double> ParseCfsQuota(absl::string_view quota_us, absl::string_view period_us);

// The smallest quota that applies to this process: its cgroup's and those of every cgroup above.
// `root` goes before /proc/self/cgroup and /sys/fs/cgroup, "" for the machine's own.
std::optional<double> DetectQuota(const std::string& root);

// min(affinity, ceil(quota)), at least 1.
int DecideThreads(int affinity_cpus, std::optional<double> quota_cpus);

}  // namespace heed

#endif  // HEED_MODEL_BASE_CPU_H_
