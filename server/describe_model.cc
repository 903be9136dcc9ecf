#include "server/describe_model.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/transformer/architectures.h"
#include "model/transformer/kv_cache.h"
#include "model/transformer/required_tensors.h"

namespace heed {
namespace {

void AddTensor(const DescribedTensor& tensor, std::vector<StoredShare>* stored) {
  auto share = std::find_if(stored->begin(), stored->end(),
                            [&](const StoredShare& s) { return s.dtype == tensor.dtype; });
  if (share == stored->end()) share = stored->insert(share, StoredShare{tensor.dtype});
  ++share->tensors;
  share->values += tensor.values;
  share->bytes += tensor.bytes;
}

// What a model of this configuration does with each tensor. Nothing is known to be anything else
// than a parameter where heed does not know the model.
std::vector<TensorRole> RolesOf(const CheckpointDescription& files,
                                const std::optional<ModelConfig>& config) {
  std::vector<TensorRole> roles(files.tensors.size(), TensorRole::kParameter);
  if (!config) return roles;
  const auto required = RequiredTensors(*config);
  if (!required.ok()) return roles;
  std::vector<std::string> names;
  for (const RequiredTensor& tensor : *required) names.push_back(tensor.name);
  const TensorNames* table = FindTensorNames(config->architecture);
  return TensorRoles(files, *config, names,
                     table == nullptr ? "" : absl::StrCat(table->unembedding, ".weight"));
}

void SortTensors(ModelDescription* out) {
  const std::vector<TensorRole> roles = RolesOf(out->files, out->config);
  for (size_t i = 0; i < roles.size(); ++i) {
    if (roles[i] == TensorRole::kParameter) {
      AddTensor(out->files.tensors[i], &out->stored);
    } else {
      out->extra.push_back({out->files.tensors[i].name, roles[i]});
    }
  }
  std::stable_sort(out->stored.begin(), out->stored.end(),
                   [](const StoredShare& a, const StoredShare& b) { return a.values > b.values; });
}

template <typename Number>
int64_t Total(const std::vector<StoredShare>& shares, Number StoredShare::*number) {
  int64_t total = 0;
  for (const StoredShare& share : shares) total += share.*number;
  return total;
}

}  // namespace

int64_t ModelDescription::tensors() const {
  return Total(stored, &StoredShare::tensors);
}

int64_t ModelDescription::values() const {
  return Total(stored, &StoredShare::values);
}

int64_t ModelDescription::bytes() const {
  return Total(stored, &StoredShare::bytes);
}

int64_t ModelDescription::cache_bytes_per_token() const {
  return KvLayout::For(*config).page_bytes() / kPageTokens;
}

absl::StatusOr<ModelDescription> DescribeModel(const std::string& path,
                                               const LoadOptions& options) {
  ModelDescription description;
  HEED_ASSIGN_OR_RETURN(description.files, DescribeCheckpoint(path));
  ModelCheck check = CheckServedModel(path, options);
  description.problems = std::move(check.problems);
  if (check.checkpoint != nullptr) {
    description.config = check.checkpoint->config();
    description.config->kv_type = KvTypeOf(*description.config, options.kv_type);
    description.weight_memory_bytes = EstimateWeightBytes(*check.checkpoint, options.weights);
  } else {
    const absl::Status first = description.problems.front();
    for (const absl::Status& missing : description.files.missing) {
      if (missing != first) description.problems.push_back(missing);
    }
  }
  description.pooling = check.pooling;
  if (check.tokenizer != nullptr) {
    description.tokenizer_kind = std::string(check.tokenizer->kind());
    description.tokenizer_tokens = check.tokenizer->vocab_size();
  }
  SortTensors(&description);
  return description;
}

std::vector<std::string> UnusedTensors(const std::string& path, const ModelConfig& config) {
  std::vector<std::string> unused;
  const absl::StatusOr<CheckpointDescription> files = DescribeCheckpoint(path);
  if (!files.ok()) return unused;
  const std::vector<TensorRole> roles = RolesOf(*files, config);
  for (size_t i = 0; i < roles.size(); ++i) {
    if (roles[i] == TensorRole::kUnused) unused.push_back(files->tensors[i].name);
  }
  return unused;
}

}  // namespace heed
