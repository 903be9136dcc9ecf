// With how many threads and which instructions a server computes, and why.
#ifndef HEED_SERVER_COMPUTE_PLAN_H_
#define HEED_SERVER_COMPUTE_PLAN_H_

#include <string>

#include "absl/status/statusor.h"
#include "model/base/cpu.h"
#include "server/config.h"

namespace heed {

struct ComputePlan {
  int threads = 1;  // of the engine's team
  CpuFacts cpu;     // with the instructions that it is held to

  // For the log: "computing with 2 threads (auto: affinity 4 of 4 CPUs, quota 1.5) and AVX2
  // kernels (--isa=avx2; this machine has AVX-512 VNNI)".
  std::string reason;
  std::string warning;  // the same; empty: all is well
};

// What `config` asks for on `machine`, which is DetectCpu()'s. FAILED_PRECONDITION where it lacks
// the instructions of --isa.
absl::StatusOr<ComputePlan> PlanCompute(const ServerConfig& config, const CpuFacts& machine);

}  // namespace heed

#endif  // HEED_SERVER_COMPUTE_PLAN_H_
