// heed-bench: how fast a checkpoint runs on this machine, and how near that is to what the machine
// can do.
//
//   heed-bench PATH [--weights=auto] [--kv-cache-type=f32] [--isa=auto] [--json]
//              [--repetitions=5] [--threads=N]
//              [--server=HOST:PORT | --engine-only | --brief] [--quick]
#include <omp.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/base/arguments.h"
#include "model/base/cpu.h"
#include "model/base/layer_names.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/checkpoint.h"
#include "model/kernels/backend.h"
#include "model/transformer/language_model.h"
#include "server/compute_plan.h"
#include "server/config.h"
#include "tests/bench/capture_bench.h"
#include "tests/bench/engine_bench.h"
#include "tests/bench/load_bench.h"
#include "tests/bench/local_server.h"
#include "tests/bench/machine.h"
#include "tests/bench/measure.h"
#include "tests/bench/rpc_bench.h"

namespace heed::bench {
namespace {

using cli::Arguments;
using cli::OptionSpec;

constexpr int kExitFailed = 1;
constexpr int kExitWrongUsage = 2;
constexpr int kMostThreads = 1024;

const std::vector<OptionSpec>& Options() {
  static const auto* const options = new std::vector<OptionSpec>{
      {"weights", "FORMAT", "How weights are held: auto (default), f32, f16, int8 or int4."},
      {"kv-cache-type", "TYPE", "How keys and values are kept: f32 (default), f16 or int8."},
      {"isa", "ISA",
       "Best instructions to use: auto (default), amx, avx512, avxvnni, avx2 or "
       "portable."},
      {"threads", "N", "Threads of the engine; default: what quota and affinity allow."},
      {"repetitions", "N", "How often each thing is measured; default 5."},
      {"server", "HOST:PORT", "Measure the calls to this server; default: to one in this process."},
      {"engine-only", "", "Measure no calls."},
      {"brief", "", "Measure the machine, prefill of 512 tokens and decoding of one sequence."},
      {"quick", "", "Only show that everything runs: the numbers mean little."},
      {"json", "", "Print JSON instead of a table."},
      {"version", "", "Show the version."},
      {"help", "", "Show this help."}};
  return *options;
}

struct Settings {
  std::string folder;
  std::string server;
  WeightFormat weights = WeightFormat::kAsStored;
  KvType kv_type = KvType::kF32;
  const Backend* backend = nullptr;
  bool engine_only = false;
  bool brief = false;
  bool json = false;
  int threads = 0;  // 0: what may run
  int repetitions = 5;
  double seconds = 0.3;  // of each look at the machine
  int64_t memory_bytes = int64_t{1} << 30;
  EngineBenchOptions engine;
  RpcBenchOptions rpc;
};

struct Report {
  std::string machine;
  std::string model;
  std::vector<Measurement> measurements;
};

// Shows on stderr what is being measured: it takes a while.
void Announce(absl::string_view what) {
  absl::FPrintF(stderr, "measuring %s ...\n", what);
}

void Append(std::vector<Measurement> more, Report* report) {
  for (Measurement& m : more) report->measurements.push_back(std::move(m));
}

std::vector<double> InUnitsOf(double unit, std::vector<double> values) {
  for (double& value : values) value /= unit;
  return values;
}

// The best of all repetitions counts: whatever else ran on the machine can only have made them
// slower.
Roof MeasureRoof(const Settings& settings, const LanguageModel& model, Report* report) {
  Announce("the machine");
  const int64_t weight_bytes = model.weight_bytes();
  const Arithmetic arithmetic = model.compute_dtype() == "F32" || model.compute_dtype() == "F16"
                                    ? Arithmetic::kF32
                                    : Arithmetic::kQuantized;
  const std::vector<double> flops =
      MeasureMultiplyAdds(arithmetic, settings.seconds, settings.repetitions);
  const int64_t memory = std::min(settings.memory_bytes, AvailableBytes() / 4);
  const std::vector<double> from_memory =
      MeasureReadBandwidth(memory, settings.seconds, settings.repetitions);
  const std::vector<double> from_weights =
      MeasureReadBandwidth(weight_bytes, settings.seconds, settings.repetitions);
  Append({Summarise(absl::StrCat("machine: ", ArithmeticName(arithmetic), " multiply-adds"),
                    "Gop/s", InUnitsOf(1e9, flops)),
          Summarise(absl::StrFormat("machine: reading %d MB", memory / 1'000'000), "GB/s",
                    InUnitsOf(1e9, from_memory)),
          Summarise(absl::StrFormat("machine: reading %.1f MB, as the weights", weight_bytes / 1e6),
                    "GB/s", InUnitsOf(1e9, from_weights))},
         report);
  return {*std::max_element(flops.begin(), flops.end()),
          *std::max_element(from_weights.begin(), from_weights.end())};
}

std::string Describe(const Checkpoint& checkpoint, const LanguageModel& model) {
  const ModelConfig& config = model.config();
  return absl::StrFormat(
      "%s, %.2f M parameters in %s, %d layers, width %d, %d heads, context window %d, %s",
      config.architecture, static_cast<double>(model.parameter_count()) / 1e6,
      model.compute_dtype(), config.n_layers, config.width, config.n_heads, config.context_window,
      checkpoint.digest().substr(0, 19));
}

absl::Status BenchModel(const Settings& settings, Report* report) {
  Announce("loading");
  HEED_ASSIGN_OR_RETURN(
      LoadedModel loaded,
      BenchLoad(settings.folder, {.weights = settings.weights, .kv_type = settings.kv_type},
                settings.backend, settings.brief ? 1 : settings.repetitions));
  const std::unique_ptr<const LanguageModel> model = std::move(loaded.model);
  report->model = Describe(*loaded.checkpoint, *model);
  loaded.checkpoint.reset();
  Append(std::move(loaded.measurements), report);
  const Roof roof = MeasureRoof(settings, *model, report);
  Announce("the engine");
  HEED_ASSIGN_OR_RETURN(std::vector<Measurement> engine,
                        BenchEngine(*model, roof, settings.engine));
  Append(std::move(engine), report);
  const bool attends = model->config().mixing == MixingPattern::kAttention;
  if (!attends || settings.brief) return absl::OkStatus();
  Announce("looking at attention");
  HEED_ASSIGN_OR_RETURN(std::vector<Measurement> capture, BenchCapture(*model, settings.engine));
  Append(std::move(capture), report);
  return absl::OkStatus();
}

absl::Status BenchCalls(const Settings& settings, Report* report) {
  std::unique_ptr<LocalServer> server;
  std::string address = settings.server;
  if (address.empty()) {
    HEED_ASSIGN_OR_RETURN(server, LocalServer::Start(settings.folder, settings.weights,
                                                     settings.kv_type, omp_get_max_threads()));
    address = server->address();
  }
  Announce(absl::StrCat("calls to ", address));
  HEED_ASSIGN_OR_RETURN(std::vector<Measurement> calls, BenchRpc(address, settings.rpc));
  Append(std::move(calls), report);
  if (server != nullptr) {
    Append({Summarise("memory: resident, server and client in one", "MB",
                      {static_cast<double>(ResidentBytes()) / 1e6})},
           report);
  }
  return absl::OkStatus();
}

absl::Status ReadCounts(const Arguments& arguments, Settings& settings) {
  HEED_ASSIGN_OR_RETURN(const std::optional<int64_t> threads,
                        arguments.Int("threads", 0, kMostThreads));
  HEED_ASSIGN_OR_RETURN(const std::optional<int64_t> repetitions,
                        arguments.Int("repetitions", 1, 1'000'000));
  settings.threads = static_cast<int>(threads.value_or(0));
  settings.repetitions = static_cast<int>(repetitions.value_or(settings.repetitions));
  return absl::OkStatus();
}

absl::StatusOr<Settings> ReadSettings(const Arguments& arguments) {
  if (arguments.positionals().size() != 1) {
    return absl::InvalidArgumentError(
        "give one folder or GGUF file, for example: heed-bench model/zoo/decoder");
  }
  Settings settings;
  HEED_RETURN_IF_ERROR(ReadCounts(arguments, settings));
  HEED_ASSIGN_OR_RETURN(settings.weights, ParseWeightFormat(arguments.String("weights", "auto")));
  HEED_ASSIGN_OR_RETURN(settings.kv_type, ParseKvType(arguments.String("kv-cache-type", "f32")));
  HEED_ASSIGN_OR_RETURN(settings.backend, BackendNamed(arguments.String("isa", "auto")));
  settings.json = arguments.Has("json");
  settings.brief = arguments.Has("brief");
  settings.engine_only = settings.brief || arguments.Has("engine-only");
  if (arguments.Has("server") && settings.engine_only) {
    return absl::InvalidArgumentError(
        "--server=HOST:PORT names a server to call, and --brief and --engine-only call none");
  }
  if (settings.brief) {
    settings.engine.prefill_tokens = {512};
    settings.engine.sequences = {1};
  }
  settings.folder = arguments.positionals().front();
  settings.server = arguments.String("server");
  if (arguments.Has("quick")) {
    settings.repetitions = 1;
    settings.seconds = 0.001;
    settings.memory_bytes = int64_t{1} << 22;
    settings.engine.decode_tokens = 4;
    settings.rpc.calls = 5;
    settings.rpc.prompt_tokens = 8;
    settings.rpc.streams = 2;
    settings.rpc.generated_tokens = 4;
  }
  settings.engine.repetitions = settings.rpc.repetitions = settings.repetitions;
  return settings;
}

void Print(const Report& report, bool json) {
  if (json) {
    absl::PrintF("{\"machine\": \"%s\",\n\"model\": \"%s\",\n\"measurements\": %s}\n",
                 report.machine, report.model, FormatJson(report.measurements));
  } else {
    absl::PrintF("%s\n%s\n\n%s", report.machine, report.model, FormatTable(report.measurements));
  }
}

void PrintHelp() {
  absl::PrintF(
      "heed-bench measures a checkpoint, a folder or a GGUF file, on this machine.\n\n"
      "Usage: heed-bench PATH [OPTIONS]\n\nOptions:\n");
  for (const OptionSpec& option : Options()) {
    const std::string name =
        absl::StrCat("--", option.name, option.value.empty() ? "" : "=", option.value);
    absl::PrintF("  %-20s  %s\n", name, option.help);
  }
}

int Fail(int code, absl::string_view message) {
  std::cerr << "heed-bench: " << message << "\n";
  return code;
}

// As heed-server does.
void WarnOfTooManyThreads(int threads, const CpuFacts& machine) {
  ServerConfig config;
  config.threads = threads;
  const absl::StatusOr<ComputePlan> plan = PlanCompute(config, machine);
  if (plan.ok() && !plan->warning.empty()) {
    std::cerr << "heed-bench: " << plan->warning << "\n";
  }
}

// An option with its words joined by hyphens, where they were joined by underscores.
std::string WithHyphens(std::string word) {
  if (!absl::StartsWith(word, "--")) return word;
  const auto end =
      word.begin() + static_cast<std::ptrdiff_t>(std::min(word.find('='), word.size()));
  std::replace(word.begin(), end, '_', '-');
  return word;
}

int Run(const Settings& settings) {
  CpuFacts cpu = DetectCpu();
  WarnOfTooManyThreads(settings.threads, cpu);
  if (settings.threads > 0) cpu.threads = settings.threads;
  omp_set_num_threads(cpu.threads);
  if (!settings.server.empty()) {  // before all that takes long
    const absl::Status answers = CheckServer(settings.server);
    if (!answers.ok()) {
      return Fail(absl::IsInvalidArgument(answers) ? kExitWrongUsage : kExitFailed,
                  absl::StrCat("--server: ", answers.message()));
    }
  }
  Report report;
  report.machine = absl::StrCat(cpu.ToString(), "; ", DetectCpu().Instructions(), ", ",
                                settings.backend->name());
  absl::Status status = BenchModel(settings, &report);
  const bool measured = status.ok();
  if (measured && !settings.engine_only) status = BenchCalls(settings, &report);
  if (measured) Print(report, settings.json);
  if (status.ok()) return 0;
  return Fail(kExitFailed, absl::StrCat(settings.folder, ": ", status.message()));
}

int Main(std::vector<std::string> words) {
  for (std::string& word : words) word = WithHyphens(word);
  const absl::StatusOr<Arguments> arguments = Arguments::Parse(words, Options(), "heed-bench");
  if (!arguments.ok()) return Fail(kExitWrongUsage, arguments.status().message());
  if (arguments->Has("help")) {
    PrintHelp();
    return 0;
  }
  if (arguments->Has("version")) {
    absl::PrintF("heed-bench %s\n", HEED_VERSION);
    return 0;
  }
  const absl::StatusOr<Settings> settings = ReadSettings(*arguments);
  if (!settings.ok()) return Fail(kExitWrongUsage, settings.status().message());
  return Run(*settings);
}

}  // namespace
}  // namespace heed::bench

int main(int argc, char** argv) {
  return heed::bench::Main({argv + 1, argv + argc});
}
