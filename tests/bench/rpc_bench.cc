#include "tests/bench/rpc_bench.h"

#include <algorithm>
#include <memory>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/client.h"
#include "model/base/status_macros.h"

namespace heed::bench {
namespace {

// The seconds of every call of all callers, and of the whole.
struct Load {
  std::vector<double> latencies;
  double seconds = 0;
};

// Small ids, which every vocabulary has.
PredictRequest ShortPrompt(const ModelInfo& model) {
  PredictRequest request;
  for (int32_t i = 0; i < 5; ++i) request.token_ids.push_back(i % model.vocabulary_size);
  request.positions = {-1};
  return request;
}

// One caller's calls, one after another.
absl::StatusOr<std::vector<double>> CallRepeatedly(Client& client, const PredictRequest& request,
                                                   int calls) {
  std::vector<double> latencies;
  for (int i = 0; i < calls; ++i) {
    const double begin = SecondsNow();
    HEED_RETURN_IF_ERROR(client.Predict(request).status());
    latencies.push_back(SecondsNow() - begin);
  }
  return latencies;
}

absl::StatusOr<Load> RunCallers(Client& client, const PredictRequest& request, int callers,
                                int calls) {
  std::vector<absl::StatusOr<std::vector<double>>> results(callers);
  std::vector<std::thread> threads;
  const double begin = SecondsNow();
  for (auto& result : results) {
    threads.emplace_back([&] { result = CallRepeatedly(client, request, calls); });
  }
  for (std::thread& thread : threads) thread.join();
  Load load;
  load.seconds = SecondsNow() - begin;
  for (const auto& result : results) {
    HEED_RETURN_IF_ERROR(result.status());
    load.latencies.insert(load.latencies.end(), result->begin(), result->end());
  }
  return load;
}

absl::StatusOr<std::vector<Measurement>> BenchPredict(Client& client, const PredictRequest& request,
                                                      int callers, const RpcBenchOptions& options) {
  HEED_RETURN_IF_ERROR(
      RunCallers(client, request, callers, std::max(options.calls / 10, 1)).status());
  std::vector<double> rates, medians, tails;
  for (int i = 0; i < options.repetitions; ++i) {
    HEED_ASSIGN_OR_RETURN(const Load load, RunCallers(client, request, callers, options.calls));
    rates.push_back(static_cast<double>(load.latencies.size()) / load.seconds);
    medians.push_back(1e3 * Quantile(load.latencies, 0.5));
    tails.push_back(1e3 * Quantile(load.latencies, 0.99));
  }
  const std::string name =
      absl::StrCat("Predict, ", callers, callers == 1 ? " caller" : " callers");
  return std::vector<Measurement>{Summarise(name, "calls/s", rates),
                                  Summarise(absl::StrCat(name, ", latency p50"), "ms", medians),
                                  Summarise(absl::StrCat(name, ", latency p99"), "ms", tails)};
}

absl::StatusOr<Measurement> BenchGenerate(Client& client, const PredictRequest& prompt,
                                          const ModelInfo& model, const RpcBenchOptions& options) {
  GenerateRequest request;
  request.token_ids = prompt.token_ids;
  const int64_t room = model.context_window - static_cast<int64_t>(prompt.token_ids.size());
  request.max_tokens = static_cast<int32_t>(std::min<int64_t>(options.generated_tokens, room));
  request.ignore_end_of_text = true;
  absl::Status status;
  const std::vector<double> seconds = TimeRepeatedly(
      options.repetitions, [&] { status.Update(client.Generate(request).status()); });
  HEED_RETURN_IF_ERROR(status);
  std::vector<double> rates;
  for (double s : seconds) rates.push_back(*request.max_tokens / s);
  return Summarise(absl::StrCat("Generate ", *request.max_tokens, ", streamed"), "tokens/s", rates);
}

bool CanGenerate(const ModelInfo& model) {
  return std::count(model.capabilities.begin(), model.capabilities.end(), Capability::kGenerate) >
         0;
}

}  // namespace

absl::Status CheckServer(const std::string& address) {
  HEED_ASSIGN_OR_RETURN(const std::unique_ptr<Client> client, Client::Connect(address));
  return client->GetModel("").status();
}

absl::StatusOr<std::vector<Measurement>> BenchRpc(const std::string& address,
                                                  const RpcBenchOptions& options) {
  HEED_ASSIGN_OR_RETURN(const std::unique_ptr<Client> client, Client::Connect(address));
  HEED_ASSIGN_OR_RETURN(const ModelInfo model, client->GetModel(""));
  const PredictRequest request = ShortPrompt(model);
  std::vector<Measurement> measurements;
  for (int callers : {1, 8}) {
    HEED_ASSIGN_OR_RETURN(const std::vector<Measurement> predict,
                          BenchPredict(*client, request, callers, options));
    measurements.insert(measurements.end(), predict.begin(), predict.end());
  }
  if (CanGenerate(model)) {
    HEED_ASSIGN_OR_RETURN(Measurement generate, BenchGenerate(*client, request, model, options));
    measurements.push_back(std::move(generate));
  }
  return measurements;
}

}  // namespace heed::bench
