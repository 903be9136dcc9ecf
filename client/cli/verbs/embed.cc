// heed embed: what texts mean to a model, and how near they are to each other.
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/base/npy.h"
#include "client/cli/base/output_file.h"
#include "client/cli/base/progress.h"
#include "client/cli/request/prompt.h"
#include "client/cli/verbs/embed_output.h"
#include "client/cli/verbs/verbs.h"

namespace heed::cli {
namespace {

absl::StatusOr<Pooling> ParsePooling(const std::string& text) {
  if (text.empty()) return Pooling::kDefault;
  if (text == "mean") return Pooling::kMean;
  if (text == "cls") return Pooling::kCls;
  if (text == "last") return Pooling::kLast;
  return UsageError(
      absl::StrCat("--pooling is \"", text, "\"; expected mean, cls (the first token) or last."));
}

// Each --ids is one text.
absl::Status ReadTexts(const Arguments& arguments, Session& session, EmbedRequest& request) {
  const std::vector<std::string>& operands = arguments.positionals();
  if (operands.empty() != arguments.Has("ids")) {
    return UsageError(operands.empty() ? "no text. Give one or more in quotes, or - for standard "
                                         "input, or token ids with --ids=1,2,3."
                                       : "both texts and --ids are given; give one of them.");
  }
  for (const std::string& operand : operands) {
    auto text = ReadText(operand, session);
    if (!text.ok()) return text.status();
    request.texts.push_back(*std::move(text));
  }
  for (const std::string& list : arguments.Strings("ids")) {
    auto ids = ParseInts(list, "--ids");
    if (!ids.ok()) return ids.status();
    request.token_ids.push_back(*std::move(ids));
  }
  return absl::OkStatus();
}

absl::StatusOr<EmbedRequest> ReadRequest(const Arguments& arguments, Session& session) {
  EmbedRequest request{.model = session.model()};
  if (absl::Status status = ReadTexts(arguments, session, request); !status.ok()) return status;
  const auto pooling = ParsePooling(arguments.String("pooling"));
  if (!pooling.ok()) return pooling.status();
  request.pooling = *pooling;
  const auto dimensions = arguments.Int("dimensions", 1, std::numeric_limits<int32_t>::max());
  if (!dimensions.ok()) return dimensions.status();
  if (*dimensions) request.dimensions = static_cast<int32_t>(**dimensions);
  const auto truncation = ParseTruncation(arguments.String("truncate"));
  if (!truncation.ok()) return truncation.status();
  request.truncation = *truncation;
  if (arguments.Has("normalize")) request.normalize = true;
  if (arguments.Has("no-special")) request.add_special_tokens = false;
  if (arguments.Has("literal")) request.parse_special_tokens = false;
  request.token_vectors = arguments.Has("tokens");
  return request;
}

absl::Status WriteVectors(const EmbedResult& result, const std::string& path, Session& session) {
  std::vector<float> values;
  size_t dimensions = 0;
  for (const TextEmbedding& embedding : result.embeddings) {
    dimensions = embedding.vector.size();
    values.insert(values.end(), embedding.vector.begin(), embedding.vector.end());
  }
  if (values.size() != result.embeddings.size() * dimensions) {
    return absl::InternalError("the server sent vectors of different lengths");
  }
  const std::vector<int64_t> shape = {static_cast<int64_t>(result.embeddings.size()),
                                      static_cast<int64_t>(dimensions)};
  const std::string what =
      absl::StrCat("float32 [", shape[0], " texts, ", shape[1], " dimensions]");
  return WriteOutputFile(session, path, what,
                         [&](std::ostream& file) { return WriteNpy(file, shape, values); });
}

absl::Status RunEmbed(const Arguments& arguments, Session& session) {
  const auto request = ReadRequest(arguments, session);
  if (!request.ok()) return request.status();
  auto client = session.client();
  if (!client.ok()) return client.status();
  Progress progress(session, "embedding");
  const auto result = (*client)->Embed(*request, session.call_options());
  progress.Stop();
  if (!result.ok()) return result.status();
  if (arguments.Has("npy")) {
    absl::Status status = WriteVectors(*result, arguments.String("npy"), session);
    if (!status.ok()) return status;
  }
  if (session.json()) {
    WriteEmbeddingsJson(*result, request->token_vectors, session);
  } else {
    PrintEmbeddings(*result, request->texts, request->token_vectors, session);
  }
  return absl::OkStatus();
}

std::vector<OptionSpec> EmbedOptions() {
  std::vector<OptionSpec> options = {
      {"pooling", "WAY", "Take the mean of the tokens, the first (cls) or the last."},
      {"normalize", "", "Divide each vector by its length."},
      {"dimensions", "N", "Keep only the first N dimensions."},
      {"tokens", "", "Show each token too, and its cosine with the same token elsewhere."},
      {"npy", "FILE", "Write the texts' vectors as float32 [texts, dimensions]."},
      {"ids", "1,2,3", "Token ids instead of TEXT; each --ids is one text.", /*repeatable=*/true},
      {"truncate", "SIDE", "Cut texts that are too long: left keeps the end, right the beginning."},
  };
  for (OptionSpec& option : ReadingOptions()) options.push_back(option);
  return options;
}

}  // namespace

Verb EmbedVerb() {
  return {
      .name = "embed",
      .operands = "TEXT [TEXT ...]",
      .max_operands = std::numeric_limits<int>::max(),
      .summary = "Show what texts mean to the model, as vectors, and how near they are.",
      .description =
          "TEXT is a text, or - for standard input; each --ids is one text too. A vector is made "
          "of "
          "the model's final hidden states, pooled as its folder says, else by their mean in a "
          "bidirectional model and the last one in a causal model. Of several texts, the cosine of "
          "every two is shown: 1 is the same direction, 0 a right angle. --json and --npy have the "
          "vectors themselves.",
      .example = "heed embed \"the money is in the bank\" \"the bank of the river\" --tokens",
      .options = EmbedOptions(),
      .run = RunEmbed};
}

}  // namespace heed::cli
