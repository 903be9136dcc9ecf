#include "tests/bench/rpc_bench.h"

#include <algorithm>
#include <memory>
#include <random>
#include <thread>
#include <utility>

#include "absl/functional/function_ref.h"
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

// Runs fn(i) for i in [0, n), each on a thread of its own.
void RunAtOnce(int n, absl::FunctionRef<void(int)> fn) {
  std::vector<std::thread> threads;
  for (int i = 0; i < n; ++i) threads.emplace_back([fn, i] { fn(i); });
  for (std::thread& thread : threads) thread.join();
}

absl::StatusOr<Load> RunCallers(Client& client, const PredictRequest& request, int callers,
                                int calls) {
  std::vector<absl::StatusOr<std::vector<double>>> results(callers);
  const double begin = SecondsNow();
  RunAtOnce(callers, [&](int i) { results[i] = CallRepeatedly(client, request, calls); });
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

// Each time another prompt, so that nothing of it is remembered.
absl::StatusOr<Measurement> BenchNewPrompts(Client& client, const ModelInfo& model,
                                            const RpcBenchOptions& options) {
  const int64_t size = std::min<int64_t>(options.prompt_tokens, model.context_window);
  std::mt19937_64 random(std::random_device{}());
  std::uniform_int_distribution<int32_t> token(
      0, static_cast<int32_t>(std::min<int64_t>(model.vocabulary_size, 1000) - 1));
  PredictRequest request;
  request.positions = {-1};
  absl::Status status;
  const std::vector<double> seconds = TimeRepeatedly(options.repetitions, [&] {
    request.token_ids.resize(size);
    for (int32_t& id : request.token_ids) id = token(random);
    status.Update(client.Predict(request).status());
  });
  HEED_RETURN_IF_ERROR(status);
  return Summarise(absl::StrCat("Predict of ", size, " new tokens"), "tokens/s",
                   Rates(static_cast<double>(size), seconds));
}

// At temperature 1, where a text does not repeat itself, and behind a prompt that is remembered.
absl::StatusOr<Measurement> BenchGenerate(Client& client, const PredictRequest& prompt,
                                          const ModelInfo& model, int streams,
                                          const RpcBenchOptions& options) {
  GenerateRequest request;
  request.token_ids = prompt.token_ids;
  const int64_t room = model.context_window - static_cast<int64_t>(prompt.token_ids.size());
  request.max_tokens = static_cast<int32_t>(std::min<int64_t>(options.generated_tokens, room));
  request.ignore_end_of_text = true;
  request.temperature = 1;
  std::vector<absl::Status> statuses(streams);
  const std::vector<double> seconds = TimeRepeatedly(options.repetitions, [&] {
    RunAtOnce(streams, [&](int i) {
      GenerateRequest own = request;
      own.seed = i;
      statuses[i].Update(client.Generate(own).status());
    });
  });
  for (const absl::Status& status : statuses) HEED_RETURN_IF_ERROR(status);
  const std::string name = absl::StrCat("Generate ", *request.max_tokens, ", streamed");
  return Summarise(streams == 1 ? name : absl::StrCat(name, ", ", streams, " at once"), "tokens/s",
                   Rates(static_cast<double>(*request.max_tokens) * streams, seconds));
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
  HEED_ASSIGN_OR_RETURN(Measurement prompts, BenchNewPrompts(*client, model, options));
  measurements.push_back(std::move(prompts));
  if (!CanGenerate(model)) return measurements;
  for (int streams : {1, options.streams}) {
    HEED_ASSIGN_OR_RETURN(Measurement generate,
                          BenchGenerate(*client, request, model, streams, options));
    measurements.push_back(std::move(generate));
  }
  return measurements;
}

}  // namespace heed::bench
