// heed-bench: how fast a checkpoint runs on this machine, and how near that is to what the machine
// can do.
//
//   heed-bench PATH [--weights=auto] [--kv_cache_type=f32] [--isa=auto] [--json]
//              [--repetitions=5] [--threads=N]
//              [--server=HOST:PORT | --engine_only | --brief] [--quick]
#include <omp.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "model/base/cpu.h"
#include "model/base/layer_names.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/checkpoint.h"
#include "model/kernels/backend.h"
#include "model/transformer/language_model.h"
#include "server/config.h"
#include "tests/bench/capture_bench.h"
#include "tests/bench/engine_bench.h"
#include "tests/bench/load_bench.h"
#include "tests/bench/local_server.h"
#include "tests/bench/machine.h"
#include "tests/bench/measure.h"
#include "tests/bench/rpc_bench.h"

ABSL_FLAG(bool, json, false, "print JSON instead of a table");
ABSL_FLAG(int, repetitions, 5, "how often each thing is measured, at least 1");
ABSL_FLAG(int, threads, 0, "threads of the engine; 0: what quota and affinity allow");
ABSL_FLAG(std::string, server, "",
          "measure the calls to the server at host:port; empty: to one in this process");
ABSL_FLAG(std::string, weights, "auto", "how weights are held: auto, f32, f16, int8 or int4");
ABSL_FLAG(std::string, kv_cache_type, "f32", "how keys and values are kept: f32, f16 or int8");
ABSL_FLAG(std::string, isa, "auto",
          "the best instructions that are used: auto, amx, avx512, avxvnni, avx2 or portable");
ABSL_FLAG(bool, engine_only, false, "measure no calls; for models without a tokenizer");
ABSL_FLAG(bool, brief, false,
          "measure only the machine, prefill of 512 tokens and decoding of one sequence");
ABSL_FLAG(bool, quick, false, "only show that everything runs: the numbers mean little");

namespace heed::bench {
namespace {

struct Settings {
  std::string folder;
  std::string server;
  WeightFormat weights = WeightFormat::kAsStored;
  KvType kv_type = KvType::kF32;
  const Backend* backend = nullptr;
  bool engine_only = false;
  bool brief = false;
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

absl::Status CheckFlags() {
  if (absl::GetFlag(FLAGS_repetitions) < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--repetitions=", absl::GetFlag(FLAGS_repetitions), ": measure at least once"));
  }
  if (absl::GetFlag(FLAGS_threads) < 0) {
    return absl::InvalidArgumentError(absl::StrCat("--threads=", absl::GetFlag(FLAGS_threads),
                                                   ": say 1 or more, or 0 for what may run"));
  }
  if (!absl::GetFlag(FLAGS_server).empty() &&
      (absl::GetFlag(FLAGS_brief) || absl::GetFlag(FLAGS_engine_only))) {
    return absl::InvalidArgumentError(
        "--server=HOST:PORT names a server to call, and --brief and --engine_only call none");
  }
  return absl::OkStatus();
}

absl::StatusOr<Settings> ReadSettings(const std::string& folder) {
  Settings settings;
  HEED_RETURN_IF_ERROR(CheckFlags());
  HEED_ASSIGN_OR_RETURN(settings.weights, ParseWeightFormat(absl::GetFlag(FLAGS_weights)));
  HEED_ASSIGN_OR_RETURN(settings.kv_type, ParseKvType(absl::GetFlag(FLAGS_kv_cache_type)));
  HEED_ASSIGN_OR_RETURN(settings.backend, BackendNamed(absl::GetFlag(FLAGS_isa)));
  settings.brief = absl::GetFlag(FLAGS_brief);
  settings.engine_only = settings.brief || absl::GetFlag(FLAGS_engine_only);
  if (settings.brief) {
    settings.engine.prefill_tokens = {512};
    settings.engine.sequences = {1};
  }
  settings.folder = folder;
  settings.server = absl::GetFlag(FLAGS_server);
  settings.repetitions = absl::GetFlag(FLAGS_repetitions);
  if (absl::GetFlag(FLAGS_quick)) {
    settings.repetitions = 1;
    settings.seconds = 0.001;
    settings.memory_bytes = int64_t{1} << 22;
    settings.engine.decode_tokens = 4;
    settings.rpc.calls = 5;
    settings.rpc.generated_tokens = 4;
  }
  settings.engine.repetitions = settings.rpc.repetitions = settings.repetitions;
  return settings;
}

void Print(const Report& report) {
  if (absl::GetFlag(FLAGS_json)) {
    absl::PrintF("{\"machine\": \"%s\",\n\"model\": \"%s\",\n\"measurements\": %s}\n",
                 report.machine, report.model, FormatJson(report.measurements));
  } else {
    absl::PrintF("%s\n%s\n\n%s", report.machine, report.model, FormatTable(report.measurements));
  }
}

int Main(const std::vector<char*>& arguments) {
  if (arguments.size() != 2) {
    std::cerr
        << "heed-bench: give one folder or GGUF file, for example: heed-bench model/zoo/decoder\n";
    return 2;
  }
  CpuFacts cpu = DetectCpu();
  if (absl::GetFlag(FLAGS_threads) > 0) cpu.threads = absl::GetFlag(FLAGS_threads);
  omp_set_num_threads(cpu.threads);
  const absl::StatusOr<Settings> settings = ReadSettings(arguments[1]);
  if (!settings.ok()) {
    std::cerr << "heed-bench: " << settings.status().message() << "\n";
    return 2;
  }
  Report report;
  report.machine = absl::StrCat(cpu.ToString(), "; ", DetectCpu().Instructions(), ", ",
                                settings->backend->name());
  absl::Status status = BenchModel(*settings, &report);
  if (status.ok() && !settings->engine_only) status = BenchCalls(*settings, &report);
  if (!status.ok()) {
    std::cerr << "heed-bench: " << settings->folder << ": " << status.message() << "\n";
    return 1;
  }
  Print(report);
  return 0;
}

}  // namespace
}  // namespace heed::bench

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "heed-bench PATH measures a checkpoint, a folder or a GGUF file, on this machine.");
  absl::FlagsUsageConfig usage;  // --help shows the flags of this file, whatever its name
  usage.contains_help_flags = [](absl::string_view file) {
    return absl::EndsWith(file, "bench/main.cc");
  };
  absl::SetFlagsUsageConfig(usage);
  return heed::bench::Main(absl::ParseCommandLine(argc, argv));
}
