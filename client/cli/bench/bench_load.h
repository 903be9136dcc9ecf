// Puts load on a server: generations in a closed loop, where each stream sends its next call when
// the last is answered, or in an open one, where calls come at random whether or not the server
// keeps up.
#ifndef HEED_CLIENT_CLI_BENCH_BENCH_LOAD_H_
#define HEED_CLIENT_CLI_BENCH_BENCH_LOAD_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "client/cli/bench/bench_report.h"
#include "client/client.h"

namespace heed::cli {

// A number of tokens, drawn evenly from [least, most].
struct LengthRange {
  int64_t least = 0;
  int64_t most = 0;
};

struct LoadPlan {
  int streams = 4;               // of the closed loop, in [1, kMaxCallsInFlight]
  std::optional<double> rate;    // calls a second of the open loop; not set: the closed one
  absl::Duration warm_up;        // before the window
  absl::Duration duration;       // of the window
  std::optional<int64_t> calls;  // the window ends when so many that were due in it are answered
  LengthRange prompt_tokens, new_tokens;
  int64_t shared_tokens = 0;                // that all prompts begin with
  std::optional<float> temperature, top_p;  // neither: the best token is taken
  int64_t seed = 0;                         // of prompts, lengths, arrivals and what is drawn
  std::string model;
  int32_t vocabulary_size = 0;
};

// A call that is to be sent while so many wait for their answers fails at once.
inline constexpr int kMaxCallsInFlight = 1024;
// Of these, so many at most go over one connection: heed-server takes no more of one, and they
// would wait here.
inline constexpr int kCallsPerConnection = 100;

// How many connections a plan may need.
int ConnectionCount(const LoadPlan& plan);

// Call number `index` of a plan; the same each time.
GenerateRequest MakeBenchRequest(const LoadPlan& plan, int64_t index);

// Gaps between calls that arrive independently of one another, `rate` a second on average.
class PoissonArrivals {
 public:
  PoissonArrivals(double rate, int64_t seed) : rate_(rate), random_(static_cast<uint64_t>(seed)) {}
  absl::Duration NextGap();

 private:
  const double rate_;
  std::mt19937_64 random_;
};

struct LoadResult {
  std::vector<BenchCall> calls;  // of the warm-up too, but not where the plan says how many calls
  BenchWindow window;
  bool interrupted = false;
};

// Runs the plan to its end, or until options.cancel is cancelled; blocks. `clients` are as many as
// ConnectionCount says, each with a connection of its own. `progress` is told how much of it is
// done, in [0, 1], from several threads.
LoadResult RunLoad(absl::Span<Client* const> clients, const CallOptions& options,
                   const LoadPlan& plan, const std::function<void(double)>& progress);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_BENCH_BENCH_LOAD_H_
