// What an operator can set: every option is a flag, --kv-cache-mib=256, and an environment
// variable, HEED_KV_CACHE_MIB=256. The flag wins over the environment.
#ifndef HEED_SERVER_CONFIG_H_
#define HEED_SERVER_CONFIG_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "model/base/layer_kinds.h"
#include "server/find_models.h"

namespace heed {

enum class LogFormat { kAuto, kText, kJson };  // auto: text on a terminal, JSON lines elsewhere

struct ServerConfig {
  std::string listen = "127.0.0.1:50051";  // host:port; port 0 lets the system choose
  std::string port_file;  // the port is written here once the server answers; empty: nowhere
  std::vector<ModelSource> models;  // the first is the default model
  std::string models_dir;           // every model in it; empty: none
  bool allow_missing = false;       // models that cannot be loaded are left out
  // How weights are held: of models by name, and of all others.
  std::map<std::string, WeightFormat> weights_by_model;
  WeightFormat weights = WeightFormat::kAsStored;
  // How keys and values are kept, the same way.
  std::map<std::string, KvType> kv_type_by_model;
  KvType kv_type = KvType::kF32;
  std::string pack_cache;    // the folder of packed copies of models' weights; empty: none
  int threads = 0;           // of the engine; 0: what quota and affinity allow
  std::string isa = "auto";  // the instructions to hold to, by their names in model/base/cpu.h

  int64_t kv_cache_mib = 256;  // of each model
  int64_t max_prompt_bytes = int64_t{1} << 20;
  int64_t max_attention_bytes = int64_t{256} << 20;  // of one call
  int64_t max_queued = 256;
  int64_t max_batch_sequences = 64;
  int64_t max_step_tokens = 256;
  int64_t prefill_chunk = 128;
  bool prefix_cache = true;
  int64_t draft_tokens = 15;        // of one call in a step; 0: none
  int64_t trace_memory_mib = 1024;  // of all traces together
  int64_t trace_client_mib = 512;   // of one client's
  absl::Duration trace_ttl = absl::Minutes(10);
  int64_t inspect_threads = 2;

  absl::Duration drain_timeout = absl::Seconds(10);
  absl::Duration stall_timeout =
      absl::Seconds(30);  // a stream whose client reads nothing is ended after this

  std::string log_level = "info";  // debug, info, warning, error, off
  LogFormat log_format = LogFormat::kAuto;

  WeightFormat weights_of(const std::string& model) const {
    const auto own = weights_by_model.find(model);
    return own == weights_by_model.end() ? weights : own->second;
  }
  KvType kv_type_of(const std::string& model) const {
    const auto own = kv_type_by_model.find(model);
    return own == kv_type_by_model.end() ? kv_type : own->second;
  }
};

// What the command line asks for.
struct CommandLine {
  enum class Action { kServe, kShowHelp, kShowVersion, kDescribe };
  Action action = Action::kServe;
  std::string describe;        // the path of the model to describe
  bool describe_json = false;  // as JSON
  ServerConfig config;
};

// Looks up an environment variable.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

// The process's own environment.
std::optional<std::string> ProcessEnvironment(const std::string& name);

// The variables that set a flag: HEED_LISTEN and so on.
std::vector<std::string> EnvironmentNames();

// `args` without the program's name: --flag=value or --flag value, --flag alone for a switch;
// --model may be repeated.
// INVALID_ARGUMENT says what is right, and suggests the nearest flag for an unknown one.
absl::StatusOr<CommandLine> ParseCommandLine(absl::Span<const std::string> args,
                                             const Environment& environment);

// All flags with their defaults, and an example to paste, in lines of at most `width` columns; the
// example and the flags' names are not broken.
std::string HelpText(size_t width);

}  // namespace heed

#endif  // HEED_SERVER_CONFIG_H_
