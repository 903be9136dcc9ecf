// A heed server in this process, on a loopback port that the system chooses.
#ifndef HEED_TESTS_BENCH_LOCAL_SERVER_H_
#define HEED_TESTS_BENCH_LOCAL_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "model/base/layer_kinds.h"

namespace heed::bench {

class LocalServer {
 public:
  // Serves the checkpoint at `folder` with its weights, keys and values held so, on so many engine
  // threads. Stops when it is destroyed.
  static absl::StatusOr<std::unique_ptr<LocalServer>> Start(const std::string& folder,
                                                            WeightFormat weights, KvType kv_type,
                                                            int threads);
  virtual ~LocalServer() = default;

  virtual std::string address() const = 0;
};

}  // namespace heed::bench

#endif  // HEED_TESTS_BENCH_LOCAL_SERVER_H_
