#include <heed/client.h>

#include <iostream>

int main(int argc, char** argv) {
  auto client = heed::Client::Connect(argc > 1 ? argv[1] : "localhost:50051");
  if (!client.ok()) return std::cerr << client.status() << "\n", 1;
  auto next = (*client)->Predict({.text = "the keys to the cabinet", .top_k = 5});
  if (!next.ok()) return std::cerr << next.status() << "\n", 1;
  for (const heed::Candidate& candidate : next->predictions.back().candidates) {
    std::cout << candidate.probability << " " << candidate.token.text << "\n";
  }
}
